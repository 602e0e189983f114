/* processes.js - a container's processes as a live tree. */
import { html, useMemo, useRef, useState } from '../../app/html.js';
import { t, bytes, percent, number, dateTime, language } from '../../app/i18n.js';
import { tabique } from '../../app/api.js';
import { useLive } from '../../app/live.js';
import { link, setQuery } from '../../app/router.js';
import { can } from '../../app/session.js';
import { fold, visible } from '../../app/text.js';
import { foldOf, useFolded } from '../../app/folds.js';
import { by, matches, processKey, treeOrder } from '../../app/processes.js';
import { Choice, CopyButton, Empty, Filterbar, Problem, Search, Since, useFresh } from '../../components/bits.js';
import { Columns, Table, TreeCell, useKept } from '../../components/table.js';
import { Menu, attempt, confirm } from '../../components/overlay.js';
import { Icon } from '../../components/icons.js';
import { argumentsOf } from '../../components/panes.js';

const entryProcess = (e) => e.p;

export default function Processes({ container: c, query }) {
  const running = c.state === 'running' || c.state === 'paused';
  const live = useLive(running ? ['processes', c.id] : null, () => tabique.processes(c.id), { interval: 1000, topic: { topic: 'processes', container: c.id } });
  const { folded, toggle } = useFolded(query.fold);
  const [active, setActive] = useState(/** @type {any} */ (null));
  const flat = query.flat === '1', sort = query.sort ?? 'pid';
  const all = live.data?.processes ?? [];
  const entries = useKept(useMemo(() => {
    const text = fold((query.q ?? '').trim());
    const found = all.filter((p) => matches(p, text));
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    if (flat || text) return [...found].sort(by(key, descending)).map((p) => ({ p, depth: 0, children: 0 }));
    return treeOrder(found, { pid: (p) => p.pid, ppid: (p) => p.ppid, compare: by(key, descending), closed: folded, key: foldOf }).map(({ item, depth, children }) => ({ p: item, depth, children }));
  }, [all, query.q, sort, flat, folded]), entryProcess);
  const fresh = useFresh(all, processKey, !!live.data);
  const hand = useRef(/** @type {any} */ (null));
  const signal = async (p, name) => {
    const ok = name !== 'KILL' || await confirm({ title: t('signal.title', { name: visible(p.name), pid: p.pid }), text: t('signal.kill'), action: t('signal.send', { signal: name }), danger: true });
    if (ok) attempt(() => tabique.signal(c.id, p.pid, p.startedAt, name), t('signal.done', { signal: name, name: visible(p.name) }));
  };
  hand.current = { signal, toggle };
  const columns = useMemo(() => [
    { key: 'pid', label: t('process.pid'), width: 80, align: /** @type {'end'} */ ('end'), sort: true, look: 'mono', render: (e) => e.p.pid },
    { key: 'name', label: t('process.name'), always: true, sort: true, render: (e) => html`<${TreeCell} depth=${e.depth} children=${e.children} closed=${folded.has(foldOf(e.p))} label=${visible(e.p.name)} onToggle=${() => hand.current.toggle(foldOf(e.p))} body=${html`<span class="process-name">${visible(e.p.name)}</span><span class="process-args">${argumentsOf(e.p)}</span>`} />`, title: (e) => visible(e.p.command) },
    { key: 'hostPid', label: t('process.onHost'), width: 90, align: /** @type {'end'} */ ('end'), sort: true, min: 560, look: 'mono', render: (e) => c.isolation === 'hyperv' ? '–' : e.p.hostPid ?? '–' },
    { key: 'ppid', label: t('process.parent'), width: 80, align: /** @type {'end'} */ ('end'), sort: true, off: true, look: 'mono', render: (e) => e.p.ppid },
    { key: 'user', label: t('process.user'), width: 90, sort: true, min: 680, render: (e) => visible(e.p.user) },
    { key: 'state', label: t('process.state'), width: 62, sort: true, min: 860, render: (e) => e.p.state, title: (e) => t('processState.' + e.p.state) },
    { key: 'cpuPercent', label: t('cpu'), width: 76, align: /** @type {'end'} */ ('end'), sort: true, min: 380, render: (e) => percent(e.p.cpuPercent) },
    { key: 'memoryBytes', label: t('memory'), width: 92, align: /** @type {'end'} */ ('end'), sort: true, min: 480, render: (e) => bytes(e.p.memoryBytes) },
    { key: 'threads', label: t('process.threads'), width: 76, align: /** @type {'end'} */ ('end'), sort: true, min: 940, render: (e) => number(e.p.threads) },
    { key: 'startedAt', label: t('process.age'), width: 88, align: /** @type {'end'} */ ('end'), sort: true, min: 760, render: (e) => html`<${Since} since=${e.p.startedAt} />`, title: (e) => dateTime(e.p.startedAt) },
    { key: 'a', label: t('table.actions'), quiet: true, later: true, width: 52, render: (e) => can('operate') && html`<${Menu} title=${t('signal.menu') + ' ' + visible(e.p.name)} label=${html`<${Icon} name="signal" />`} items=${['TERM', 'HUP', 'INT', 'STOP', 'CONT', 'KILL'].map((name) => ({ label: 'SIG' + name, danger: name === 'KILL', run: () => hand.current.signal(e.p, name) }))} />` },
  ], [c.id, c.isolation, folded, language.get()]);
  if (!running) return html`<${Empty} title=${t('compare.empty.stopped')} text=${t('processes.past')}><a class="button" href=${link('/compare/' + encodeURIComponent(c.name), { at: c.finishedAt ? new Date(Date.parse(c.finishedAt) - 1000).toISOString() : '' })}>${t('processes.look')}</a></${Empty}>`;
  return html`<${Filterbar}><${Search} value=${query.q ?? ''} label=${t('host.search')} onChange=${(q) => setQuery({ q })} />
      <${Choice} label=${t('compare.layout')} value=${flat ? 'flat' : 'tree'} onChange=${(v) => setQuery({ flat: v === 'flat' ? '1' : '' })} options=${[['tree', t('compare.tree'), 'tree'], ['flat', t('compare.flat'), 'list']]} /><span class="quiet-text">${t('processes.count', { n: all.length })}</span><span class="grow"></span><${Columns} name="processes" columns=${columns} /></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} name="processes" label=${t('tab.processes')} columns=${columns} rows=${entries} rowKey=${(e) => processKey(e.p)} sort=${sort} onSort=${(key) => setQuery({ sort: key, flat: '1' })} loading=${live.loading} onActive=${(e) => setActive(e.p)} onFold=${(e, shut) => toggle(foldOf(e.p), shut)} rowClass=${(e) => (fresh(processKey(e.p)) ? 'fresh' : '')} />
    ${active && html`<section class="detail" aria-label=${t('compare.detail')}><div class="detail-who"><h2>${visible(active.name)}</h2><span class="mono">${active.pid}</span></div><div class="detail-command"><code>${visible(active.command)}</code><${CopyButton} text=${active.command} /></div></section>`}`;
}
