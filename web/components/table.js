/* table.js - a table of any length: only the rows in sight exist. It is a real
 * <table>, told to assistive technology as a grid with its true number of rows;
 * arrows, j/k, Home, End and Enter work on the row that is active; left and right fold it in a tree.
 *
 * A browser lays out and paints a table as one. Here each row stands by itself, with its columns as a
 * grid's, so that one that comes or goes costs what it costs and the others nothing; roles are
 * written out, as styles that make other boxes of a table's parts would take theirs away. */
import { html, memo, useState, useRef, useLayoutEffect, useEffect, useMemo } from '../app/html.js';
import { t } from '../app/i18n.js';
import { useStore } from '../app/store.js';
import { settings, changeSettings } from '../app/settings.js';
import { Menu } from './overlay.js';
import { Icon } from './icons.js';

const coarse = globalThis.matchMedia?.('(pointer: coarse)').matches;
export const HEAD_HEIGHT = 32;
export function useRowHeight() {
  return useStore(settings).density === 'roomy' || coarse ? 38 : 28;
}

/** look: the cell's class; narrow: is there as little room as on a phone; min: from which width of the table it stands there by itself; off: only on wish; always: not to be chosen away; later: filled when the scrolling rests, for what one does not look for while it flies by.
 * @typedef {{key: string, label: string, width?: number | ((table: number) => number | undefined), align?: 'end', min?: number, off?: boolean, always?: boolean, sort?: boolean, quiet?: boolean, later?: boolean, render: (row: any, narrow: boolean) => any, title?: (row: any) => string, look?: string}} Column */

let serial = 0;
const none = {};
/* So many rows at a time come and go, few enough for one frame, and so many stand ready above and below what is in sight. */
const STEP = 4, AHEAD = 10, REST_MS = 120;

/* One row. While one scrolls it is given the same again and again, and is left alone. */
const Row = memo(({ row, id, i, active, selected, look, shown, bare, narrow, selects, hovers, hands }) => html`<tr role="row" id=${id} aria-rowindex=${i + 2} aria-selected=${active ? 'true' : 'false'} class=${(active ? 'active ' : '') + (selected ? 'selected ' : '') + look}
    onClick=${(event) => { if (!event.target.closest('button, a, input')) hands.current.pick(row); }}
    onDblClick=${() => hands.current.open?.(row)}
    onMouseEnter=${hovers && (() => hands.current.hover(row))} onMouseLeave=${hovers && (() => hands.current.hover(null))}>
    ${selects && html`<td role="gridcell" class="check"><input type="checkbox" tabindex="-1" aria-label=${t('table.select')} checked=${selected} onChange=${() => hands.current.toggle(row)} /></td>`}
    ${shown.map((column) => html`<td role="gridcell" key=${column.key} class=${column.look ? (column.align ?? '') + ' ' + column.look : column.align} title=${column.title?.(row)}>${bare && column.later ? null : column.render(row, narrow)}</td>`)}
  </tr>`);

/** A list whose entries ({depth, children} and what `of` tells) are made anew with every turn: one that says what it said
 * is the same again, and so is the whole list, so that nothing is drawn again for it.
 * @param {any[]} list @param {(entry: any) => any} of */
export function useKept(list, of) {
  const before = useRef({ list: /** @type {any[]} */ ([]), by: new Map() });
  return useMemo(() => {
    const old = before.current;
    const kept = list.map((entry) => {
      const was = old.by.get(of(entry));
      return was && was.depth === entry.depth && was.children === entry.children ? was : entry;
    });
    if (kept.length === old.list.length && kept.every((entry, i) => entry === old.list[i])) return old.list;
    before.current = { list: kept, by: new Map(kept.map((entry) => [of(entry), entry])) };
    return kept;
  }, [list]);
}

/* What lives longer than one turn is made here, out of reach of a table's properties: a
 * function that is kept keeps all that stood around it, and markup among that (a title, say)
 * the whole page as it was then. Thus every turn's page was kept by the next one's. */
const useName = () => useMemo(() => 'table' + ++serial, []);
const useIndex = (rows, rowKey) => useMemo(() => new Map(rows.map((row, i) => [rowKey(row), i])), [rows]);
const useShown = (columns, wish, width) => useMemo(() => columns.filter((column) => wish[column.key] ?? (!column.off && (!column.min || width >= column.min))), [columns, wish, width]);
const useAll = (rows, rowKey, selected) => useMemo(() => !!selected && rows.length > 0 && rows.every((row) => selected.has(rowKey(row))), [rows, selected]);

/** Which rows are to stand there. The browser is asked when it knows: on a scroll, on a change of size. */
function useSight(scroller, rowHeight, length, latest) {
  const [view, setView] = useState({ first: 0, count: 40, width: 1200 });
  const place = useRef({ top: 0, height: 0 });
  const measure = () => {
    const box = scroller.current;
    if (!box) return;
    place.current = { top: box.scrollTop, height: box.clientHeight };
    const first = Math.max(0, Math.floor(place.current.top / rowHeight / STEP) * STEP - AHEAD);
    const count = Math.ceil(place.current.height / rowHeight) + 2 * AHEAD + STEP;
    const width = box.clientWidth;
    setView((old) => (old.first === first && old.count === count && old.width === width ? old : { first, count, width }));
  };
  const [moving, setMoving] = useState(false);
  const rest = useRef(0);
  const scrolled = () => { measure(); latest.current.onView?.(); };
  const onScroll = () => {
    setMoving(true);
    clearTimeout(rest.current);
    rest.current = setTimeout(() => setMoving(false), REST_MS);
    scrolled();
  };
  useEffect(() => () => clearTimeout(rest.current), []);
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(scrolled);
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, [rowHeight]);
  useEffect(scrolled, [length]);
  /* On paper nobody scrolls. */
  useEffect(() => {
    const whole = () => setView((old) => ({ ...old, first: 0, count: 3000 }));
    addEventListener('beforeprint', whole);
    addEventListener('afterprint', measure);
    return () => { removeEventListener('beforeprint', whole); removeEventListener('afterprint', measure); };
  }, []);
  return { view, place, onScroll, moving };
}

/**
 * @param {{label: string, columns: Column[], rows: any[], rowKey: (row: any) => string, sort?: string, onSort?: (key: string) => void,
 *   onOpen?: (row: any) => void, onActive?: (row: any) => void, active?: string|null, rowClass?: (row: any) => string,
 *   selected?: Set<string>, onSelect?: (keys: Set<string>) => void, empty?: any, loading?: boolean, api?: any,
 *   onView?: () => void, onHover?: (row: any) => void, onFold?: (row: any, shut: boolean) => void, busy?: boolean, name?: string, scroll?: boolean}} props name: under which the choice of columns is kept; scroll: never squeezed
 */
export function Table(props) {
  const { columns, rows, rowKey, sort = '', onSort, onOpen, rowClass, selected, onSelect } = props;
  const rowHeight = useRowHeight();
  const scroller = useRef(/** @type {HTMLDivElement} */ (null));
  const latest = useRef(props);
  latest.current = props;
  const { view, place, onScroll, moving } = useSight(scroller, rowHeight, rows.length, latest);
  const [own, setOwn] = useState(/** @type {string|null} */ (null));
  const active = props.active !== undefined ? props.active : own;
  const name = useName();
  const index = useIndex(rows, rowKey);

  const reveal = (i) => {
    const box = scroller.current;
    if (!box || i < 0) return;
    const top = i * rowHeight, bottom = top + rowHeight;
    if (top < box.scrollTop) box.scrollTop = top;
    else if (bottom > box.scrollTop + box.clientHeight - HEAD_HEIGHT) box.scrollTop = bottom - box.clientHeight + HEAD_HEIGHT;
  };
  if (props.api) props.api.current = {
    reveal: (key) => { if (index.has(key)) reveal(index.get(key)); },
    /* So that it stands at y, as far as the list's ends allow. */
    level: (key, y) => { if (index.has(key) && scroller.current) scroller.current.scrollTop = HEAD_HEIGHT + index.get(key) * rowHeight + rowHeight / 2 - y; },
    /* Middle of a row from the top of the table's box. */
    y: (key) => (index.has(key) && scroller.current ? HEAD_HEIGHT + index.get(key) * rowHeight + rowHeight / 2 - scroller.current.scrollTop : null),
    /* For lines drawn beside the table: what is in sight, and where; asks the browser nothing. */
    sight: () => {
      const { top, height } = place.current;
      return {
        first: Math.max(0, Math.floor(top / rowHeight)), end: Math.min(rows.length, Math.ceil((top + height - HEAD_HEIGHT) / rowHeight)),
        y: (key) => (index.has(key) ? HEAD_HEIGHT + index.get(key) * rowHeight + rowHeight / 2 - top : null),
      };
    },
    height: () => scroller.current?.clientHeight ?? 0,
    focus: () => scroller.current?.querySelector('table')?.focus(),
  };

  const activate = (i) => {
    const row = rows[i];
    if (!row) return;
    setOwn(rowKey(row));
    props.onActive?.(row);
    reveal(i);
  };
  const onKeyDown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.('input, button:not([tabindex="-1"]), select, a')) return;
    const at = active !== null && index.has(active) ? index.get(active) : -1;
    const page = Math.max(1, Math.floor((scroller.current.clientHeight - HEAD_HEIGHT) / rowHeight) - 1);
    const moves = { ArrowDown: at + 1, j: at + 1, ArrowUp: at - 1, k: at - 1, Home: 0, End: rows.length - 1, PageDown: at + page, PageUp: at - page };
    if (event.key in moves) activate(Math.max(0, Math.min(rows.length - 1, moves[event.key])));
    else if (event.key === 'Enter' && at >= 0 && onOpen) onOpen(rows[at]);
    else if ((event.key === 'ArrowLeft' || event.key === 'ArrowRight') && at >= 0 && props.onFold && rows[at].children > 0) props.onFold(rows[at], event.key === 'ArrowLeft');
    else if ((event.key === ' ' || event.key === 'x') && at >= 0 && onSelect) toggle(rows[at]);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const toggle = (row) => {
    const next = new Set(selected);
    const key = rowKey(row);
    if (!next.delete(key)) next.add(key);
    onSelect(next);
  };

  const hands = useRef(/** @type {any} */ (null));
  /* What flies by under the pointer is not pointed at. */
  hands.current = { toggle, open: onOpen, hover: moving ? () => {} : props.onHover, pick: (row) => { setOwn(rowKey(row)); props.onActive?.(row); } };

  const wish = useStore(settings).columns[props.name ?? ''] ?? none;
  const shown = useShown(columns, wish, view.width);
  const widthOf = (column) => (typeof column.width === 'function' ? column.width(view.width) : column.width);
  /* Columns asked for are not squeezed in: the table then scrolls sideways. */
  const least = props.scroll || Object.values(wish).includes(true) ? shown.reduce((sum, column) => sum + (widthOf(column) ?? 150), onSelect ? 44 : 0) : 0;
  const [sortKey, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
  const first = Math.min(view.first, Math.max(0, rows.length - 1));
  const visible = rows.slice(first, first + view.count);
  const all = useAll(rows, rowKey, onSelect && selected);
  /* Rows that come while the table is scrolled are filled when it rests; the others stay as they are. */
  const filled = useRef(new Set());
  const bare = new Set(moving ? visible.map(rowKey).filter((key) => !filled.current.has(key)) : []);
  filled.current = new Set(visible.map(rowKey).filter((key) => !bare.has(key)));

  const narrow = view.width <= 520;
  const widths = (onSelect ? (narrow ? '36px ' : '44px ') : '') + shown.map((column) => (widthOf(column) ? widthOf(column) + 'px' : 'minmax(0, 1fr)')).join(' ');

  return html`<div class=${'table' + (onOpen || props.onActive ? ' can-open' : '')} ref=${scroller} onScroll=${onScroll} tabindex="-1">
    <table role="grid" style=${{ '--columns': widths, minWidth: least ? least + 'px' : '' }} aria-label=${props.label} aria-rowcount=${rows.length + 1} aria-busy=${props.busy ? 'true' : undefined}
      tabindex="0" onKeyDown=${onKeyDown} aria-activedescendant=${active !== null && index.has(active) ? name + '-' + index.get(active) : undefined}>
      <thead role="rowgroup"><tr role="row" aria-rowindex="1">
        ${onSelect && html`<th role="columnheader" scope="col" class="check"><input type="checkbox" aria-label=${t('table.all')} checked=${all}
          onChange=${() => onSelect(all ? new Set() : new Set(rows.map(rowKey)))} /></th>`}
        ${shown.map((column) => html`<th role="columnheader" key=${column.key} scope="col" class=${column.align ?? ''}
          aria-sort=${sortKey === column.key ? (descending ? 'descending' : 'ascending') : undefined}>
          ${column.sort && onSort
            ? html`<button type="button" class="sort" onClick=${() => onSort(sortKey === column.key ? (descending ? column.key : '-' + column.key) : (column.align ? '-' : '') + column.key)}>
                ${column.label}${sortKey === column.key ? html`<span aria-hidden="true">${descending ? '↓' : '↑'}</span>` : ''}</button>`
            : column.quiet ? html`<span class="hidden">${column.label}</span>` : column.label}</th>`)}
      </tr></thead>
      <tbody role="rowgroup" style=${rows.length ? { height: rows.length * rowHeight + 'px', paddingTop: first * rowHeight + 'px' } : {}}>
        ${visible.map((row, offset) => {
          const i = first + offset, key = rowKey(row);
          return html`<${Row} key=${key} row=${row} id=${name + '-' + i} i=${i} active=${active === key} selected=${!!selected?.has(key)} look=${rowClass?.(row) ?? ''} shown=${shown} bare=${bare.has(key)} narrow=${narrow} selects=${!!onSelect} hovers=${!!props.onHover} hands=${hands} />`;
        })}
        ${rows.length === 0 && html`<tr role="row" class="nothing"><td role="gridcell" class=${'empty' + (props.loading ? ' late' : '')}>${props.loading ? t('loading') : props.empty ?? t('table.empty')}</td></tr>`}
      </tbody>
    </table></div>`;
}

/** Which columns one wants to see. The first and the nameless ones are always there. @param {{name: string, columns: Column[]}} props */
export function Columns({ name, columns }) {
  const { columns: all } = useStore(settings);
  const wish = all[name] ?? {};
  const width = () => document.querySelector('main .table')?.clientWidth ?? 1200;
  const change = (next) => changeSettings({ columns: { ...all, [name]: next } });
  return html`<${Menu} quiet=${false} title=${t('columns')} label=${html`<${Icon} name="columns" /><span class="words">${t('columns')}</span>`} items=${[
    ...columns.slice(1).filter((column) => !column.quiet && !column.always).map((column) => {
      const checked = wish[column.key] ?? (!column.off && (!column.min || width() >= column.min));
      return { label: column.label, checked, run: () => change({ ...wish, [column.key]: !checked }) };
    }),
    { label: t('columns.reset'), icon: 'restart', disabled: !Object.keys(wish).length, run: () => change({}) }]} />`;
}

/** The toggle and the indent of a row in a tree. */
export function TreeCell({ depth, children, closed, onToggle, label, body }) {
  return html`<span class="tree-cell" style=${{ '--depth': depth }}>
    ${children > 0
      ? html`<button type="button" class="twist" tabindex="-1" aria-expanded=${closed ? 'false' : 'true'} aria-label=${closed ? t('tree.open', { name: label }) : t('tree.close', { name: label })} onClick=${onToggle}><${Icon} name=${closed ? 'right' : 'down'} size=${10} /></button>`
      : html`<span class="twist"></span>`}
    ${body}</span>`;
}
