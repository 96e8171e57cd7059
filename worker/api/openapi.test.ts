import { describe, expect, it } from 'vitest';
import { api } from './index.ts';

describe('the OpenAPI document', () => {
  const document = api.getOpenAPI31Document({ openapi: '3.1.0', info: { title: 'x', version: '1' } });
  const { paths = {} } = document;
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

  it('says which headers a write takes', () => {
    const headersOf = (path: string, method: 'get' | 'put' | 'post') =>
      ((paths[path]?.[method]?.parameters ?? []) as { in: string; name: string }[])
        .filter((parameter) => parameter.in === 'header')
        .map(({ name }) => name);
    expect(headersOf('/campaigns', 'get')).toEqual([]);
    expect(headersOf('/campaigns', 'post')).toEqual(['Idempotency-Key']);
    for (const path of ['/campaigns/{id}/advance', '/campaigns/{id}/devices/{device}/skip'])
      expect(headersOf(path, 'post')).toEqual(['Idempotency-Key', 'If-Match']);
  });

  it('says what is answered outside of /api/v1, too', () => {
    for (const door of ['/.well-known/est/simpleenroll', '/ca/crl.pem', '/tuf/{name}']) {
      const operations = Object.values(paths[door] ?? {}) as { servers?: { url: string }[] }[];
      expect(operations.some(({ servers }) => servers?.[0]?.url === '/')).toBe(true);
    }
  });

  it('has no pattern with flags: they would be part of what is matched', () => {
    const said = JSON.stringify(document, (key, value) =>
      key === 'pattern' && /\/[a-z]*$/.test(value) ? 'FLAGS' : value,
    );
    expect(said).not.toContain('FLAGS');
  });

  it('describes every parameter of a path, and that it is needed', () => {
    for (const [path, item] of Object.entries(paths)) {
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      for (const operation of Object.values(item as Record<string, { parameters?: unknown[] }>)) {
        const inPath = (operation.parameters ?? []).filter((one) => (one as { in: string }).in === 'path');
        expect(inPath.map((one) => (one as { name: string }).name).sort()).toEqual(names.sort());
        expect(inPath.filter((one) => (one as { required?: boolean }).required !== true)).toEqual([]);
      }
    }
  });
});
