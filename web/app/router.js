/* router.js - the address is the state: what is looked at, how it is sorted and
 * filtered, and at which moment. Copying it reopens the very view. */
import { createStore, useStore } from './store.js';

/* The rest of the address space is the API's. */
export const BASE = '/ui';

/** @type {[string, string][]} pattern, view */
const routes = [
  ['/', 'overview'],
  ['/containers', 'containers'],
  ['/containers/new', 'create'],
  ['/containers/:id', 'container'],
  ['/containers/:id/:tab', 'container'],
  ['/compare', 'compare'],
  ['/compare/:id', 'compare'],
  ['/host', 'host'],
  ['/images', 'images'],
  ['/images/:id', 'images'],
  ['/volumes', 'volumes'],
  ['/volumes/:id', 'volumes'],
  ['/networks', 'networks'],
  ['/networks/:id', 'networks'],
  ['/events', 'events'],
  ['/notifications', 'notifications'],
  ['/notifications/:tab', 'notifications'],
  ['/audit', 'audit'],
  ['/users', 'users'],
  ['/users/:tab', 'users'],
  ['/settings', 'settings'],
  ['/about', 'about'],
];

/** @param {string} path */
export function match(path) {
  const parts = path.replace(/^\/ui(?=\/|$)/, '').replace(/\/+$/, '').split('/').slice(1);
  for (const [pattern, view] of routes) {
    const wanted = pattern === '/' ? [] : pattern.split('/').slice(1);
    if (wanted.length !== parts.length) continue;
    /** @type {Record<string, string>} */
    const params = {};
    const fits = wanted.every((part, i) => {
      if (!part.startsWith(':')) return part === parts[i];
      try { params[part.slice(1)] = decodeURIComponent(parts[i]); } catch { return false; }
      return parts[i] !== '';
    });
    if (fits) return { view, params };
  }
  return { view: 'missing', params: {} };
}

export function parse(href) {
  const url = new URL(href, 'http://x');
  return { path: url.pathname, query: Object.fromEntries(url.searchParams), ...match(url.pathname) };
}

/** @param {string} path @param {Record<string, any>} [query] */
export function link(path, query) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query ?? {}))
    if (value !== undefined && value !== null && value !== '' && value !== false) search.set(key, value === true ? '1' : String(value));
  const text = search.toString();
  const base = path.startsWith(BASE + '/') || path === BASE ? path : BASE + path;
  return text ? base + '?' + text : base;
}

export const location = createStore(parse(globalThis.location?.href ?? '/'));

/** @param {string} to @param {{replace?: boolean}} [options] */
export function go(to, options) {
  const state = { from: globalThis.location.pathname };
  if (options?.replace) history.replaceState(state, '', to);
  else history.pushState(state, '', to);
  location.set(parse(globalThis.location.href));
}

export function startRouter() {
  addEventListener('popstate', () => location.set(parse(globalThis.location.href)));
  document.addEventListener('click', (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    const anchor = /** @type {Element} */ (event.target).closest?.('a[href]');
    if (!(anchor instanceof HTMLAnchorElement) || anchor.target || anchor.hasAttribute('download')) return;
    const url = new URL(anchor.href);
    if (url.origin !== globalThis.location.origin || !url.pathname.startsWith(BASE)) return;
    event.preventDefault();
    if (url.href !== globalThis.location.href) go(url.pathname + url.search);
  });
}

export const useLocation = () => useStore(location);

/** Changes the query of the present view; by default without a step in history. */
export function setQuery(patch, { push = false } = {}) {
  const { path, query } = location.get();
  const to = link(path, { ...query, ...patch });
  if (to !== globalThis.location.pathname + globalThis.location.search) go(to, { replace: !push });
}
