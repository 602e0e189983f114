/* table.js - a table of any length: only the rows in sight exist. It is a real
 * <table>, told to assistive technology as a grid with its true number of rows;
 * arrows, j/k, Home, End and Enter work on the row that is active. */
import { html, useState, useRef, useLayoutEffect, useEffect, useMemo } from '../app/html.js';
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

/** min: from which width of the table it stands there by itself; off: only on wish.
 * @typedef {{key: string, label: string, width?: number | ((table: number) => number), align?: 'end', min?: number, off?: boolean, sort?: boolean, quiet?: boolean, render: (row: any, i: number) => any, title?: (row: any) => string}} Column */

let serial = 0;

/**
 * @param {{label: string, columns: Column[], rows: any[], rowKey: (row: any) => string, sort?: string, onSort?: (key: string) => void,
 *   onOpen?: (row: any) => void, onActive?: (row: any) => void, active?: string|null, rowClass?: (row: any) => string,
 *   selected?: Set<string>, onSelect?: (keys: Set<string>) => void, empty?: any, loading?: boolean, api?: any,
 *   onView?: () => void, onHover?: (row: any) => void, busy?: boolean, name?: string, scroll?: boolean}} props name: under which the choice of columns is kept; scroll: never squeezed
 */
export function Table(props) {
  const { columns, rows, rowKey, sort = '', onSort, onOpen, rowClass, selected, onSelect } = props;
  const rowHeight = useRowHeight();
  const scroller = useRef(/** @type {HTMLDivElement} */ (null));
  const [view, setView] = useState({ first: 0, count: 40, width: 1200 });
  const [own, setOwn] = useState(/** @type {string|null} */ (null));
  const active = props.active !== undefined ? props.active : own;
  const name = useMemo(() => 'table' + ++serial, []);
  const index = useMemo(() => {
    const map = new Map();
    rows.forEach((row, i) => map.set(rowKey(row), i));
    return map;
  }, [rows]);

  const measure = () => {
    const box = scroller.current;
    if (!box) return;
    const first = Math.max(0, Math.floor(box.scrollTop / rowHeight) - 8);
    const count = Math.ceil(box.clientHeight / rowHeight) + 16;
    const width = box.clientWidth;
    setView((old) => (old.first === first && old.count === count && old.width === width ? old : { first, count, width }));
  };
  useLayoutEffect(() => {
    measure();
    const observer = new ResizeObserver(() => { measure(); props.onView?.(); });
    observer.observe(scroller.current);
    return () => observer.disconnect();
  }, [rowHeight]);
  useEffect(() => { measure(); props.onView?.(); }, [rows.length]);
  /* On paper nobody scrolls. */
  useEffect(() => {
    const whole = () => setView((old) => ({ ...old, first: 0, count: 3000 }));
    addEventListener('beforeprint', whole);
    addEventListener('afterprint', measure);
    return () => { removeEventListener('beforeprint', whole); removeEventListener('afterprint', measure); };
  }, []);

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
    /* Middle of a row from the top of the table's box, for lines drawn beside it. */
    y: (key) => (index.has(key) && scroller.current ? HEAD_HEIGHT + index.get(key) * rowHeight + rowHeight / 2 - scroller.current.scrollTop : null),
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

  const wish = useStore(settings).columns[props.name ?? ''] ?? {};
  const shown = columns.filter((column) => wish[column.key] ?? (!column.off && (!column.min || view.width >= column.min)));
  const widthOf = (column) => (typeof column.width === 'function' ? column.width(view.width) : column.width);
  /* Columns asked for are not squeezed in: the table then scrolls sideways. */
  const least = props.scroll || Object.values(wish).includes(true) ? shown.reduce((sum, column) => sum + (widthOf(column) ?? 150), onSelect ? 44 : 0) : 0;
  const [sortKey, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
  const first = Math.min(view.first, Math.max(0, rows.length - 1));
  const visible = rows.slice(first, first + view.count);
  const span = shown.length + (onSelect ? 1 : 0);
  const all = onSelect && rows.length > 0 && rows.every((row) => selected.has(rowKey(row)));

  return html`<div class=${'table' + (onOpen || props.onActive ? ' can-open' : '')} ref=${scroller} onScroll=${() => { measure(); props.onView?.(); }} tabindex="-1">
    <table role="grid" style=${least ? { minWidth: least + 'px' } : undefined} aria-label=${props.label} aria-rowcount=${rows.length + 1} aria-busy=${props.busy ? 'true' : undefined}
      tabindex="0" onKeyDown=${onKeyDown} aria-activedescendant=${active !== null && index.has(active) ? name + '-' + index.get(active) : undefined}>
      <colgroup>${onSelect && html`<col class="col-check" />`}${shown.map((column) => html`<col key=${column.key} style=${column.width ? { width: widthOf(column) + 'px' } : undefined} />`)}</colgroup>
      <thead><tr aria-rowindex="1">
        ${onSelect && html`<th scope="col" class="check"><input type="checkbox" aria-label=${t('table.all')} checked=${all}
          onChange=${() => onSelect(all ? new Set() : new Set(rows.map(rowKey)))} /></th>`}
        ${shown.map((column) => html`<th key=${column.key} scope="col" class=${column.align ?? ''}
          aria-sort=${sortKey === column.key ? (descending ? 'descending' : 'ascending') : undefined}>
          ${column.sort && onSort
            ? html`<button type="button" class="sort" onClick=${() => onSort(sortKey === column.key ? (descending ? column.key : '-' + column.key) : (column.align ? '-' : '') + column.key)}>
                ${column.label}${sortKey === column.key ? html`<span aria-hidden="true">${descending ? '↓' : '↑'}</span>` : ''}</button>`
            : column.quiet ? html`<span class="hidden">${column.label}</span>` : column.label}</th>`)}
      </tr></thead>
      <tbody>
        ${first > 0 && html`<tr aria-hidden="true" class="space"><td colspan=${span} style=${{ height: first * rowHeight + 'px' }}></td></tr>`}
        ${visible.map((row, offset) => {
          const i = first + offset, key = rowKey(row);
          return html`<tr key=${key} id=${name + '-' + i} aria-rowindex=${i + 2} aria-selected=${active === key ? 'true' : 'false'}
            class=${(active === key ? 'active ' : '') + (selected?.has(key) ? 'selected ' : '') + (rowClass?.(row) ?? '')}
            onClick=${(event) => { if (!event.target.closest('button, a, input')) { setOwn(key); props.onActive?.(row); } }}
            onDblClick=${() => onOpen?.(row)}
            onMouseEnter=${props.onHover && (() => props.onHover(row))} onMouseLeave=${props.onHover && (() => props.onHover(null))}>
            ${onSelect && html`<td class="check"><input type="checkbox" tabindex="-1" aria-label=${t('table.select')} checked=${selected.has(key)} onChange=${() => toggle(row)} /></td>`}
            ${shown.map((column) => html`<td key=${column.key} class=${column.align ?? ''} title=${column.title?.(row)}>${column.render(row, i)}</td>`)}
          </tr>`;
        })}
        ${first + visible.length < rows.length && html`<tr aria-hidden="true" class="space"><td colspan=${span} style=${{ height: (rows.length - first - visible.length) * rowHeight + 'px' }}></td></tr>`}
        ${rows.length === 0 && !props.loading && html`<tr class="nothing"><td class="empty" colspan=${span}>${props.empty ?? t('table.empty')}</td></tr>`}
        ${rows.length === 0 && props.loading && html`<tr class="nothing"><td class="empty late" colspan=${span}>${t('loading')}</td></tr>`}
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
    ...columns.slice(1).filter((column) => !column.quiet).map((column) => {
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
