/* store.js - a value that can be watched. */
import { useState, useLayoutEffect } from 'preact/hooks';

/**
 * @template T
 * @param {T} initial
 */
export function createStore(initial) {
  let value = initial;
  const watchers = new Set();
  return {
    get: () => value,
    /** @param {T | ((old: T) => T)} next */
    set(next) {
      const made = typeof next === 'function' ? /** @type {(old: T) => T} */ (next)(value) : next;
      if (Object.is(made, value)) return;
      value = made;
      for (const watcher of [...watchers]) watcher(value);
    },
    /** @param {(value: T) => void} watcher */
    watch(watcher) {
      watchers.add(watcher);
      return () => { watchers.delete(watcher); };
    },
  };
}

/**
 * @template T
 * @param {{get: () => T, watch: (f: (v: T) => void) => () => void}} store
 * @returns {T}
 */
export function useStore(store) {
  const [, turn] = useState(0);
  useLayoutEffect(() => {
    const seen = store.get();
    const stop = store.watch(() => turn((n) => n + 1));
    if (!Object.is(seen, store.get())) turn((n) => n + 1);
    return stop;
  }, [store]);
  return store.get();
}
