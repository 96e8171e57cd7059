/** What every route finds in its context. */
import type { Context } from 'hono';
import type { Env } from '../durable-objects/env.ts';
import type { Role } from '../protocol/api.ts';
import type { Cache } from '../store/cache.ts';
import type { Database } from '../store/connection.ts';

/** Who is asking: a person or a program. */
export interface Principal {
  /** `user:…` or `key:…`, for the audit log. */
  actor: string;
  role: Role;
  /** By cookie: then changes must come from our own pages. */
  viaCookie: boolean;
}

export interface AppEnv {
  Bindings: Env;
  Variables: { db: Database; cache: Cache; principal: Principal };
}

export type AppContext = Context<AppEnv>;
