/* bits.js - the small parts views are made of. */
import { html, memo, useEffect, useRef, useState } from '../app/html.js';
import { t, age, dateTime, percent } from '../app/i18n.js';
import { useSaid } from '../app/live.js';
import { go, link, setQuery } from '../app/router.js';
import { carryOut } from '../app/many.js';
import { toast } from './overlay.js';
import { Icon } from './icons.js';

export function Age({ since }) {
  const text = useSaid((now) => (since ? age((now - Date.parse(since)) / 1000) : '–'));
  return since ? html`<time datetime=${since} title=${dateTime(since)}>${text}</time>` : text;
}
/** Without a title of its own, where the cell has one. */
export const Since = ({ since }) => useSaid((now) => age((now - Date.parse(since)) / 1000));

/** A line of the last values; the whole is decoration, the number stands beside it. */
export function Sparkline({ values, max = 1, width = 72, height = 18 }) {
  const top = Math.max(max, ...values, 1e-9);
  const step = width / Math.max(1, values.length - 1);
  const points = values.map((v, i) => `${(i * step).toFixed(1)},${(height - 1 - (v / top) * (height - 2)).toFixed(1)}`);
  return html`<svg class="spark" width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`} preserveAspectRatio="none" aria-hidden="true">
    ${points.length > 1 && html`<polygon points=${`0,${height} ${points.join(' ')} ${width},${height}`} /><polyline points=${points.join(' ')} />`}</svg>`;
}

export function Meter({ value, label }) {
  const part = Math.max(0, Math.min(1, value || 0));
  return html`<span class=${'meter' + (part > 0.9 ? ' hot' : part > 0.75 ? ' warm' : '')} role="img" aria-label=${label ?? percent(part * 100)}><span style=${{ width: part * 100 + '%' }}></span></span>`;
}

/** Search field that the "/" key finds. */
export function Search({ value, onChange, label, placeholder = undefined }) {
  const [text, setText] = useState(value);
  const timer = useRef(0);
  useEffect(() => setText(value), [value]);
  const change = (next) => {
    setText(next);
    clearTimeout(timer.current);
    timer.current = setTimeout(() => onChange(next), 120);
  };
  return html`<span class="search"><${Icon} name="search" /><input type="search" data-search="1" value=${text} aria-label=${label} placeholder=${placeholder ?? label} spellcheck=${false}
    onInput=${(event) => change(event.target.value)}
    onKeyDown=${(event) => {
      if (event.key === 'Escape') { if (text) change(''); else event.target.blur(); event.stopPropagation(); }
      if (event.key === 'ArrowDown' || event.key === 'Enter') { clearTimeout(timer.current); onChange(text); /** @type {HTMLElement} */ (document.querySelector('main table[role=grid]'))?.focus(); event.preventDefault(); }
    }} /><kbd aria-hidden="true">/</kbd></span>`;
}

export function Choice({ value, options, onChange, label }) {
  return html`<div class="choice" role="group" aria-label=${label}>${options.map(([key, text, icon]) => html`<button type="button" key=${key} aria-pressed=${value === key ? 'true' : 'false'} onClick=${() => onChange(key)}>${icon && html`<${Icon} name=${icon} />`}${text}</button>`)}</div>`;
}

/* Of thousands of containers, and drawn anew with every turn of a live page: only when one has changed. */
const Options = memo(({ value, options, change, label }) => html`<select aria-label=${label} value=${value} onChange=${(event) => change.current(event.target.value)}>
  ${options.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === value}>${text}</option>`)}</select>`);
export function Select({ value, options, onChange, label }) {
  const kept = useRef(options), change = useRef(onChange);
  change.current = onChange;
  if (kept.current !== options && (kept.current.length !== options.length || options.some(([key, text], i) => key !== kept.current[i][0] || text !== kept.current[i][1]))) kept.current = options;
  return html`<${Options} value=${value} options=${kept.current} change=${change} label=${label} />`;
}

export function Toggle({ checked, onChange, children }) {
  return html`<label class="toggle"><input type="checkbox" role="switch" checked=${checked} onChange=${(event) => onChange(event.target.checked)} /><span>${children}</span></label>`;
}

export function Tabs({ tabs, current, base, label, query = undefined }) {
  const nav = useRef(/** @type {HTMLElement} */ (null));
  useEffect(() => { 
    /* scrollIntoView() would push the whole page sideways, too. */
    const here = /** @type {HTMLElement|null} */ (nav.current?.querySelector('[aria-current]'));
    if (here) nav.current.scrollLeft = here.offsetLeft - (nav.current.clientWidth - here.offsetWidth) / 2;
  }, [current]);
  return html`<nav class="tabs" ref=${nav} aria-label=${label}>${tabs.map(([key, text]) => html`<a key=${key} href=${link(key ? base + '/' + key : base, query)} aria-current=${current === key ? 'page' : undefined}>${text}</a>`)}</nav>`;
}

/** Head of a view. @param {{title: any, sub?: any, children?: any, back?: string}} props */
export function Head({ title, sub = null, children = null, back = undefined }) {
  return html`<header class="view-head">
    <div class="view-title">${back && html`<a class="back" href=${link(back)} aria-label=${t('back')}><${Icon} name="left" /></a>`}<h1>${title}</h1>${sub && html`<div class="sub">${sub}</div>`}</div>
    <div class="view-actions">${children}</div></header>`;
}

export function Problem({ error, stale = false }) {
  if (!error) return null;
  return html`<p class="problem" role="alert"><${Icon} name="warn" /> ${stale ? t('stale') + ' ' : ''}${error.message}</p>`;
}

export function Empty({ title, text = '', children = null, top = false }) {
  return html`<div class="empty-state">${top ? html`<h1>${title}</h1>` : html`<h2>${title}</h2>`}${text && html`<p>${text}</p>`}${children}</div>`;
}

export function Fact({ label, children }) {
  return html`<div class="fact"><dt>${label}</dt><dd>${children}</dd></div>`;
}

export async function copyText(text, done = t('copied')) {
  try {
    await navigator.clipboard.writeText(text);
    toast(done);
  } catch {
    toast(t('error.clipboard'), { kind: 'error' });
  }
}
export function CopyButton({ text, label = t('copy') }) {
  return html`<button type="button" class="quiet icon-only" aria-label=${label} title=${label} onClick=${() => copyText(text)}><${Icon} name="copy" size=${13} /></button>`;
}

export function saveAs(name, type, data) {
  const anchor = document.createElement('a');
  anchor.href = URL.createObjectURL(new Blob([data], { type }));
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(anchor.href), 10000);
}

export const openView = (path, query) => go(link(path, query));

/** What is chosen in a list: it stands in the address as `p`, so that a link opens it again, and stays as it was last seen when it has gone.
 * @param {any[]} rows @param {(row: any) => string} keyOf @param {string|undefined} wanted the address's @param {boolean} ready */
export function useChosen(rows, keyOf, wanted, ready) {
  const [chosen, choose] = useState(/** @type {any} */ (null));
  const key = chosen ? keyOf(chosen) : null;
  const now = key === null ? null : rows.find((row) => keyOf(row) === key);
  const address = useRef('');
  useEffect(() => {
    if (!ready || !wanted || address.current === wanted) return;
    address.current = wanted;
    const row = rows.find((one) => keyOf(one) === wanted);
    if (row) choose(row);
  }, [ready, wanted]);
  useEffect(() => {
    if (key === null && !address.current) return;
    /* One who runs through a list does not write the address at each row. */
    const timer = setTimeout(() => { address.current = key ?? ''; setQuery({ p: key ?? '' }); }, 300);
    return () => clearTimeout(timer);
  }, [key]);
  return { chosen: now ?? chosen, key, gone: !!chosen && ready && !now, choose };
}

/** Which rows are ticked. @param {any[]} all @param {(row: any) => string} keyOf */
export function useSelection(all, keyOf) {
  const [selected, select] = useState(/** @type {Set<string>} */ (new Set()));
  return { selected, select, chosen: all.filter((row) => selected.has(keyOf(row))), keep: (/** @type {any[]} */ rows) => select(new Set(rows.map(keyOf))) };
}

/** What can be done to the rows that are ticked; those with which it failed stay so.
 * @param {{kind: import('../app/many.js').Kind, selection: {chosen: any[], keep: (rows: any[]) => void}, without?: string[], children?: any}} props */
export function Bulk({ kind, selection: { chosen, keep }, without = [], children = null }) {
  if (!chosen.length) return null;
  return html`<span class="bulk" role="group" aria-label=${t('bulk.label')}><strong>${t('bulk.selected', { n: chosen.length })}</strong>
    ${Object.entries(kind.actions).filter(([name, action]) => !without.includes(name) && (!action.when || chosen.some(action.when))).map(([name, action]) => html`<button type="button" key=${name} class=${action.danger ? 'danger-text' : ''} onClick=${() => carryOut(kind, name, chosen).then((failed) => failed && keep(failed))}><${Icon} name=${action.icon} /> ${t('action.' + name)}</button>`)}
    ${children}<button type="button" class="quiet" onClick=${() => keep([])}>${t('bulk.none')}</button></span>`;
}

/** What came since the last list is shown for a moment. @param {any[]} rows @param {(row: any) => string} keyOf @param {boolean} ready */
export function useFresh(rows, keyOf, ready) {
  const known = useRef({ rows: /** @type {any} */ (null), since: /** @type {Map<string, number>|null} */ (null) });
  const now = Date.now();
  if (ready && known.current.rows !== rows) {
    const old = known.current.since, since = new Map();
    for (const row of rows) {
      const key = keyOf(row);
      since.set(key, old ? old.get(key) ?? now : 0);
    }
    known.current = { rows, since };
  }
  return (key) => now - (known.current.since?.get(key) ?? 0) < 3000;
}

export function Filterbar({ children }) {
  return html`<div class="filterbar">${children}</div>`;
}
