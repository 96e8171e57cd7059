/** The package has these types, but not where the compiler looks for them. */
declare module 'aedes-persistence/asyncPersistence.js' {
  import MemoryPersistence from 'aedes-persistence/types/asyncPersistence.js';

  export default MemoryPersistence;
}
