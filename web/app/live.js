/* live.js - what is looked at stays true by itself.
 *
 * A source is fetched again and again while anybody watches and the page is
 * visible; watchers of the same source share it. Where the server's stream
 * carries its topic, that feeds it instead (stream.js), and asking stops.
 */
import { createStore } from './store.js';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { session } from './session.js';
import { serverNow, skew } from './api.js';

/** @typedef {{data: any, error: Error|null, at: number, loading: boolean, stale: boolean}} Live */
/** @type {Live} */
const nothing = { data: null, error: null, at: 0, loading: true, stale: false };
const KEEP_MS = 15000;
const sources = new Map();

/** Is the server answering? Shown in the head of every view. */
export const connection = createStore({ ok: true, since: Date.now(), live: false });
export function heard(ok) {
  if (connection.get().ok !== ok) connection.set((old) => ({ ...old, ok, since: Date.now() }));
}

/** @type {null | ((topic: any, deliver: (data: any) => void, lost: () => void) => () => void)} */
let subscribeStream = null;
export const setStream = (subscribe) => { subscribeStream = subscribe; };

class Source {
  constructor(key, fetcher, interval, topic) {
    this.key = key;
    this.fetcher = fetcher;
    this.interval = interval;
    this.topic = topic;
    this.store = createStore(nothing);
    this.watchers = 0;
    this.timer = 0;
    this.failures = 0;
    this.streaming = false;
    this.unsubscribe = null;
    this.forget = 0;
    this.busy = false;
  }
  watch() {
    clearTimeout(this.forget);
    if (this.watchers++ === 0) this.begin();
    return () => {
      if (--this.watchers > 0) return;
      clearTimeout(this.timer);
      this.unsubscribe?.();
      this.unsubscribe = null;
      this.streaming = false;
      this.forget = setTimeout(() => sources.delete(this.key), KEEP_MS);
    };
  }
  begin() {
    if (this.topic && subscribeStream)
      this.unsubscribe = subscribeStream(this.topic, (data) => {
        this.streaming = true;
        clearTimeout(this.timer);
        this.take(data);
      }, () => {
        this.streaming = false;
        this.schedule(0);
      });
    this.ask();
  }
  take(data) {
    this.failures = 0;
    this.store.set({ data, error: null, at: Date.now(), loading: false, stale: false });
  }
  schedule(delay) {
    clearTimeout(this.timer);
    if (this.watchers > 0) this.timer = setTimeout(() => this.ask(), delay);
  }
  async ask() {
    if (this.streaming || this.busy) return;
    const state = session.get().state;
    if (document.hidden || (state !== 'in' && state !== 'offline')) return this.schedule(500);
    this.busy = true;
    try {
      const data = await this.fetcher();
      heard(true);
      if (!this.streaming) this.take(data);
    } catch (error) {
      this.failures++;
      if (error.status === 0) heard(false);
      else heard(true);
      /* What was known stays on the screen, marked as old. */
      this.store.set((old) => ({ ...old, error, loading: false, stale: !!old.data }));
    }
    this.busy = false;
    if (!this.interval && !this.failures) return;
    this.schedule(Math.min(30000, (this.interval || 2000) * 2 ** Math.min(this.failures, 4)));
  }
  refresh() {
    if (!this.streaming) this.schedule(0);
    else this.fetcher().then((data) => this.take(data), () => {});
  }
}

/**
 * @param {any} key a string or array that names the source; null: none
 * @param {() => Promise<any>} fetcher
 * @param {{interval?: number, topic?: any}} [options] interval 0: once
 */
export function useLive(key, fetcher, { interval = 2000, topic = null } = {}) {
  const name = key === null ? null : JSON.stringify([key, interval]);
  const [, turn] = useState(0);
  /* Before the browser paints: what is at hand already (boot.js) is in the first picture. */
  useLayoutEffect(() => {
    if (name === null) return;
    let source = sources.get(name);
    if (!source) sources.set(name, (source = new Source(name, fetcher, interval, topic)));
    source.fetcher = fetcher;
    const unwatch = source.store.watch(() => turn((n) => n + 1));
    const leave = source.watch();
    turn((n) => n + 1);
    return () => { unwatch(); leave(); };
  }, [name]);
  const source = name === null ? null : sources.get(name);
  const value = source ? source.store.get() : nothing;
  return { ...value, refresh: () => source?.refresh() };
}

/** After something was changed: whoever shows it asks again. */
export function refreshAll(prefix) {
  for (const source of sources.values())
    if (source.watchers > 0 && (!prefix || source.key.includes(prefix))) source.refresh();
}

if (globalThis.document) document.addEventListener('visibilitychange', () => { if (!document.hidden) refreshAll(''); });

/** A moment that moves, for ages. */
const ticks = createStore(serverNow());
skew.watch(() => ticks.set(serverNow()));
let ticking = 0;
function useTicks(take) {
  const latest = useRef(take);
  latest.current = take;
  useEffect(() => {
    if (!ticking) ticking = setInterval(() => { if (!document.hidden) ticks.set(serverNow()); }, 1000);
    return ticks.watch((now) => latest.current(now));
  }, []);
}
/** The present moment, as often as it matters. @param {number} [every] ms */
export function useNow(every = 1000) {
  const step = (time) => Math.floor(time / every) * every;
  const [now, setNow] = useState(() => step(ticks.get()));
  useTicks((time) => setNow(step(time)));
  return now;
}
/** What is said of the present moment; whoever says it is drawn anew only when it reads differently.
 * @param {(now: number) => string} say @returns {string} */
export function useSaid(say) {
  const [, setText] = useState('');
  useTicks((now) => setText(say(now)));
  return say(ticks.get());
}
