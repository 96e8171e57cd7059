import { describe, expect, it } from 'vitest';
import { api } from './index.ts';

describe('the OpenAPI document', () => {
  const { paths = {} } = api.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'x', version: '1' } });
  const described = Object.entries(paths).flatMap(([path, item]) =>
    Object.keys(item).map((method) => `${method.toUpperCase()} ${path}`),
  );

  it('has every route there is', () => {
    const routes = api.routes
      .filter(({ method }) => method !== 'ALL')
      .map(({ method, path }) => `${method} ${path.replace(/:(\w+)(?:\{[^}]*\})?/g, '{$1}')}`);
    const covers = (pattern: string, route: string) =>
      new RegExp(`^${pattern.replace(/\{\w+\}/g, '(?:[^/]+)')}$`).test(route);
    const named = (route: string) => described.some((one) => covers(one, route) || covers(route, one));
    expect(routes.length).toBeGreaterThan(60);
    expect(routes.filter((route) => !named(route))).toEqual([]);
  });

  it('names each action of a campaign', () => {
    expect(described).toEqual(
      expect.arrayContaining(
        ['start', 'pause', 'resume', 'cancel'].map((action) => `POST /campaigns/{id}/${action}`),
      ),
    );
  });

  it('describes every parameter of a path', () => {
    for (const [path, item] of Object.entries(paths)) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const operation of Object.values(item as Record<string, { parameters?: unknown[] }>)) {
        const inPath = (operation.parameters ?? []).filter((one) => (one as { in: string }).in === 'path');
        expect(inPath.map((one) => (one as { name: string }).name).sort()).toEqual(names.sort());
      }
    }
  });
});
