/* panes.js - one side of a comparison, and the wall between two sides with the
 * lines that join what is the same. */
import { html, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../app/html.js';
import { t, bytes, number, age, dateTime, language, percent } from '../app/i18n.js';
import { visible, fold } from '../app/text.js';
import { rowFold } from '../app/folds.js';
import { by, matches, processKey, rowKey, treeOrder } from '../app/processes.js';
import { Since } from './bits.js';
import { Columns, Table, TreeCell, useKept } from './table.js';
import { isThick } from './wall.js';

/** The rows of one side as they stand there. @param {any[]} rows @param {'container'|'host'} side */
export function useSide(rows, side, how) {
  const { tree, sort, search, closed } = how;
  return useKept(useMemo(() => inOrder(rows, side, how), [rows, side, tree, sort, search, closed]), entryRow);
}
const entryRow = (e) => e.row;

function inOrder(rows, side, { tree, sort, search, closed }) {
  const text = fold(search.trim());
  const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
  const order = by(key, descending);
  const list = rows.filter((row) => row[side]);
  const own = (row) => (row.relation === 'host-only' ? 1 : 0);
  if (!tree || text) {
    return list.filter((row) => matches(row[side], text)).sort((a, b) => own(a) - own(b) || order(a[side], b[side]))
      .map((row) => ({ row, depth: 0, children: 0 }));
  }
  return treeOrder(list, { pid: (r) => r[side].pid, ppid: (r) => r[side].ppid, compare: (a, b) => own(a) - own(b) || order(a[side], b[side]), closed, key: rowFold })
    .map(({ item, depth, children }) => ({ row: item, depth, children }));
}

/** What a side shows, each in its own words. @returns {import('./table.js').Column[]} */
function columnsOf(side, closed, marks, moment, toggle) {
  return [
    { key: 'pid', label: t('process.pid'), width: (w) => (w < 260 ? 54 : 72), align: /** @type {'end'} */ ('end'), sort: true, look: 'mono', render: (e) => e.row[side].pid },
    { key: 'name', label: t('process.name'), always: true, sort: true, render: (e) => {
      const p = e.row[side];
      const rest = argumentsOf(p);
      return html`<${TreeCell} depth=${e.depth} children=${e.children} closed=${closed.has(rowFold(e.row))} onToggle=${() => toggle.current(rowFold(e.row))} label=${visible(p.name)}
        body=${html`<span class="process-name">${visible(p.name)}</span>${rest && html`<span class="process-args">${rest}</span>`}
          ${e.row.relation === 'container-only' && html`<span class="tag only">${t('relation.short.container-only')}</span>`}
          ${e.row.relation === 'worker' && html`<span class="tag worker">${t('relation.short.worker')}</span>`}
          ${marks?.has(rowKey(e.row)) && html`<span class=${'tag ' + marks.get(rowKey(e.row))}>${t('diff.' + marks.get(rowKey(e.row)))}</span>`}`} />`;
    }, title: (e) => visible(e.row[side].command) },
    { key: 'ppid', label: t('process.parent'), width: 72, off: true, align: /** @type {'end'} */ ('end'), sort: true, look: 'mono', render: (e) => e.row[side].ppid },
    { key: 'user', label: t('process.user'), width: 92, min: 640, sort: true, render: (e) => visible(e.row[side].user) },
    { key: 'state', label: t('process.state'), width: 62, off: true, sort: true, render: (e) => e.row[side].state, title: (e) => t('processState.' + e.row[side].state) },
    { key: 'cpuPercent', label: t('cpu'), width: 66, min: 320, align: /** @type {'end'} */ ('end'), sort: true, render: (e) => (moment ? '–' : percent(e.row[side].cpuPercent)) },
    { key: 'memoryBytes', label: t('memory'), width: 84, min: 450, align: /** @type {'end'} */ ('end'), sort: true, render: (e) => (moment ? '–' : bytes(e.row[side].memoryBytes)) },
    { key: 'threads', label: t('process.threads'), width: 62, min: 760, align: /** @type {'end'} */ ('end'), sort: true, render: (e) => number(e.row[side].threads || 0) },
    { key: 'startedAt', label: t('process.age'), width: 82, min: 540, align: /** @type {'end'} */ ('end'), sort: true, render: (e) => (moment ? age((moment - Date.parse(e.row[side].startedAt)) / 1000) : html`<${Since} since=${e.row[side].startedAt} />`), title: (e) => dateTime(e.row[side].startedAt) },
  ];
}
/* The same as long as nothing in them differs: what only lights up leaves the rows alone.
 * Made outside the pane, whose markup they would keep (see table.js). */
const useColumns = (side, closed, marks, moment, toggle) => useMemo(() => columnsOf(side, closed, marks, moment, toggle), [side, closed, marks, moment, language.get()]);

/** Which of its columns the sides show: the same on each. */
export const PaneColumns = () => html`<${Columns} name="compare" columns=${columnsOf('host', new Set(), null, null, null)} />`;

/**
 * @param {{title: any, label: string, side: 'container'|'host', entries: any[], api: any, onView: () => void, lit: string|null, chosen: string|null,
 *   onHover: (key: string|null) => void, onChoose: (row: any) => void, onOpen?: (row: any) => void, closed: Set<string>, onClose: (key: string, shut?: boolean) => void,
 *   sort: string, onSort: (key: string) => void, empty: any, loading: boolean, fresh: (key: string) => boolean, marks?: Map<string, string>, moment: number|null}} props
 */
export function Pane(props) {
  const { side, entries, lit, fresh, marks, moment, closed } = props;
  const toggle = useRef(props.onClose);
  toggle.current = props.onClose;
  const columns = useColumns(side, closed, marks, moment, toggle);
  return html`<section class=${'pane ' + side} aria-label=${props.label}>
    <header class="pane-head">${props.title}<span class="pane-count">${t('processes.count', { n: entries.length })}</span></header>
    <${Table} name="compare" label=${props.label} columns=${columns} rows=${entries} rowKey=${entryKey} api=${props.api} onView=${props.onView} sort=${props.sort} onSort=${props.onSort}
      active=${props.chosen} onActive=${(e) => props.onChoose(e.row)} onOpen=${props.onOpen && ((e) => props.onOpen(e.row))} onFold=${(e, shut) => props.onClose(rowFold(e.row), shut)} onHover=${(e) => props.onHover(e ? rowKey(e.row) : null)} loading=${props.loading} empty=${props.empty}
      rowClass=${(e) => [e.row.relation, lit === rowKey(e.row) || props.chosen === rowKey(e.row) ? 'lit' : '', fresh(rowKey(e.row)) ? 'fresh' : '', marks?.get(rowKey(e.row)) ?? ''].join(' ')} />
  </section>`;
}
const entryKey = (e) => rowKey(e.row);

export function argumentsOf(process) {
  const command = visible(process.command ?? '');
  const name = visible(process.name ?? '');
  if (!command || command === name) return '';
  const space = command.indexOf(' ');
  const program = (space < 0 ? command : command.slice(0, space)).split('/').pop();
  return program === name ? (space < 0 ? '' : command.slice(space + 1)) : command;
}

const SVG = 'http://www.w3.org/2000/svg';

/**
 * The wall. What is the same is joined by a line that goes through a thin wall;
 * through a thick one nothing goes.
 * @param {{left: any, right: any, leftEntries: any[], rightEntries: any[], isolation: string, lit: string|null, chosen: string|null, worker: any,
 *   drawer: any, onHover: (key: string|null) => void, onChoose: (row: any) => void, label: string, mirrored?: boolean}} props
 */
export function Wall(props) {
  const svg = useRef(/** @type {SVGSVGElement} */ (null));
  const lines = useRef(new Map());
  const size = useRef({ width: 0, height: 0 });
  const thick = isThick(props.isolation);
  const state = useRef(props);
  state.current = props;

  const draw = () => {
    const element = svg.current;
    const { leftEntries, rightEntries, lit, chosen, mirrored } = state.current;
    /* First everything is asked, then everything is written: a question between two
     * changes would have the browser lay out the page anew each time. */
    const left = state.current.left.current?.sight(), right = state.current.right.current?.sight();
    if (!element || !left || !right) return;
    const { width, height } = size.current;
    const offset = 32; /* the panes' heads */
    const group = element.querySelector('.joins');
    const top = offset + 32, inside = (y) => y >= top && y <= height;
    const cut = (y) => Math.max(top - 6, Math.min(height + 2, y));
    const middle = width / 2, from = mirrored ? width - 4 : 4, to = mirrored ? 4 : width - 4;
    const seen = new Set();
    for (const { row } of [...leftEntries.slice(left.first, left.end), ...rightEntries.slice(right.first, right.end)]) {
      const key = rowKey(row);
      if (row.relation !== 'same' || seen.has(key)) continue;
      const a = left.y(key), b = right.y(key);
      if (a === null || b === null) continue;
      const ends = [inside(a + offset), inside(b + offset)];
      if (!ends[0] && !ends[1]) continue;
      const y = [cut(a + offset), cut(b + offset)];
      const out = !ends[0] || !ends[1];
      seen.add(key);
      let join = lines.current.get(key);
      if (!join) {
        const line = document.createElementNS(SVG, 'g');
        for (const name of ['path', 'circle', 'circle']) line.append(document.createElementNS(SVG, name));
        line.children[1].setAttribute('r', '3');
        line.children[2].setAttribute('r', '3');
        line.addEventListener('mouseenter', () => state.current.onHover(key));
        line.addEventListener('mouseleave', () => state.current.onHover(null));
        line.addEventListener('click', () => { const found = state.current.leftEntries.find((e) => entryKey(e) === key); if (found) state.current.onChoose(found.row); });
        lines.current.set(key, (join = { line, look: '', path: '' }));
        group.append(line);
      }
      const look = 'join' + (out ? ' out' : '') + (lit === key || chosen === key ? ' lit' : '');
      const path = `M${from} ${y[0]}C${middle} ${y[0]} ${middle} ${y[1]} ${to} ${y[1]}`;
      if (join.look !== look) join.line.setAttribute('class', (join.look = look));
      if (join.path === path) continue;
      join.path = path;
      join.line.children[0].setAttribute('d', path);
      [from, to].forEach((x, i) => { join.line.children[i + 1].setAttribute('cx', String(x)); join.line.children[i + 1].setAttribute('cy', String(y[i])); });
    }
    for (const [key, { line }] of lines.current) if (!seen.has(key)) { line.remove(); lines.current.delete(key); }
  };
  props.drawer.current = draw;
  useLayoutEffect(() => { draw(); const again = requestAnimationFrame(draw); return () => cancelAnimationFrame(again); });
  useEffect(() => {
    const observer = new ResizeObserver(([{ contentRect }]) => { size.current = contentRect; draw(); });
    observer.observe(svg.current);
    return () => observer.disconnect();
  }, []);

  const worker = props.worker;
  return html`<div class=${'the-wall ' + (thick ? 'thick' : 'thin')} role="img" aria-label=${props.label}>
    <svg ref=${svg} aria-hidden="true" width="100%" height="100%">
      <defs><pattern id="bricks" width="36" height="24" patternUnits="userSpaceOnUse"><rect class="mortar" width="36" height="24"/><path class="brick" d="M1 1h34v10H1zM-17 13h34v10h-34zM19 13h34v10H19z"/></pattern></defs>
      ${thick ? html`<rect class="mass" x="14%" y="0" width="72%" height="100%" fill="url(#bricks)" />` : html`<line class="line" x1="50%" x2="50%" y1="0" y2="100%" />`}
      <g class="joins"></g>
    </svg>
    <span class="wall-word">${t(thick ? 'wall.word.hyperv' : 'wall.word.process')}</span>
    ${thick && html`<button type="button" class=${'worker' + (worker ? '' : ' absent') + (props.lit === 'worker' ? ' lit' : '')} disabled=${!worker} onClick=${() => worker && props.onChoose({ relation: 'worker', container: null, host: worker })}>
      <strong>${worker ? visible(worker.name) : 'vmwp'}</strong>
      ${worker ? html`<span class="mono">${worker.pid}</span><span>${percent(worker.cpuPercent)}</span><span>${bytes(worker.memoryBytes)}</span>` : html`<span>${t('worker.absent')}</span>`}</button>`}
  </div>`;
}

export { processKey };
