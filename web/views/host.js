/* host.js - every process of the host, and whose it is. */
import { html, useEffect, useMemo, useRef } from '../app/html.js';
import { t, bytes, percent, number, age, dateTime, language, localInput } from '../app/i18n.js';
import { tabique } from '../app/api.js';
import { useLive } from '../app/live.js';
import { useNames } from '../app/sources.js';
import { link, setQuery } from '../app/router.js';
import { fold, visible, csv } from '../app/text.js';
import { foldOf, useFolded } from '../app/folds.js';
import { by, matches, processKey, treeOrder } from '../app/processes.js';
import { settings, changeSettings } from '../app/settings.js';
import { useStore } from '../app/store.js';
import { Choice, CopyButton, Filterbar, Head, Problem, Search, Select, Since, Toggle, openView, saveAs, useChosen, useFresh } from '../components/bits.js';
import { Columns, Table, TreeCell, useKept } from '../components/table.js';
import { Menu } from '../components/overlay.js';
import { WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';
import { argumentsOf } from '../components/panes.js';

const entryProcess = (e) => e.p;

export default function Host({ query }) {
  const { kernelThreads } = useStore(settings);
  const at = query.at && !Number.isNaN(Date.parse(query.at)) ? query.at : '';
  const live = useLive(['host-processes', at], () => tabique.hostProcesses(at ? { at } : undefined), { interval: at ? 0 : 2000, topic: at ? null : { topic: 'host-processes', interval_ms: 2000 } });
  const { names } = useNames();
  const owners = useMemo(() => new Map(names.map((c) => [c.id, c])), [names]);
  const { folded, toggle } = useFolded(query.fold);
  const flat = query.flat === '1', sort = query.sort ?? 'pid', owner = query.owner ?? '';
  const all = live.data?.processes ?? [];
  const entries = useKept(useMemo(() => {
    const text = fold((query.q ?? '').trim());
    const found = all.filter((p) => (kernelThreads || !p.kernelThread) && matches(p, text) &&
      (owner === '' || (owner === 'none' ? !p.containerId : owner === 'container' ? p.containerId && !p.worker : owner === 'vm' ? p.worker : p.containerId === owner)));
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    const order = by(key, descending);
    if (flat || text || owner) return [...found].sort(order).map((p) => ({ p, depth: 0, children: 0 }));
    return treeOrder(found, { pid: (p) => p.pid, ppid: (p) => p.ppid, compare: order, closed: folded, key: foldOf }).map(({ item, depth, children }) => ({ p: item, depth, children }));
  }, [all, query.q, owner, sort, flat, folded, kernelThreads]), entryProcess);
  const fresh = useFresh(all, processKey, !!live.data && !at);
  const ownerOf = (p) => {
    const c = p.containerId ? owners.get(p.containerId) : null;
    if (p.worker) return html`<a class="owner" href=${link('/compare/' + encodeURIComponent(c?.name ?? p.containerId))}><${WallBadge} isolation="hyperv" word=${false} /> ${t('owner.workerOf', { name: visible(c?.name ?? p.containerId.slice(0, 12)) })}</a>`;
    if (p.containerId) return html`<a class="owner" href=${link('/compare/' + encodeURIComponent(c?.name ?? p.containerId))}><${WallBadge} isolation=${c?.isolation ?? 'process'} word=${false} /> ${visible(c?.name ?? p.containerId.slice(0, 12))}</a>`;
    return html`<span class="quiet-text">${p.kernelThread ? t('owner.kernel') : '–'}</span>`;
  };
  const hand = useRef(toggle);
  hand.current = toggle;
  const { chosen: active, key: activeKey, gone, choose } = useChosen(all, processKey, query.p, !!live.data);
  const table = useRef(/** @type {any} */ (null));
  useEffect(() => { if (activeKey) table.current?.reveal(activeKey); }, [activeKey]);
  const columns = useMemo(() => [
    { key: 'pid', label: t('process.pid'), width: 80, align: /** @type {'end'} */ ('end'), sort: true, look: 'mono', render: (e) => e.p.pid },
    { key: 'name', label: t('process.name'), always: true, sort: true, render: (e) => html`<${TreeCell} depth=${e.depth} children=${e.children} closed=${folded.has(foldOf(e.p))} onToggle=${() => hand.current(foldOf(e.p))} label=${visible(e.p.name)}
        body=${html`<span class="process-name">${visible(e.p.name)}</span><span class="process-args">${argumentsOf(e.p)}</span>`} />`, title: (e) => visible(e.p.command) },
    { key: 'containerId', label: t('owner'), width: (w) => (w < 520 ? 120 : 190), sort: true, min: 340, render: (e) => ownerOf(e.p) },
    { key: 'ppid', label: t('process.parent'), width: 80, align: /** @type {'end'} */ ('end'), sort: true, off: true, look: 'mono', render: (e) => e.p.ppid },
    { key: 'user', label: t('process.user'), width: 112, sort: true, min: 760, render: (e) => visible(e.p.user) },
    { key: 'state', label: t('process.state'), width: 62, sort: true, min: 900, render: (e) => e.p.state, title: (e) => t('processState.' + e.p.state) },
    { key: 'cpuPercent', label: t('cpu'), width: 76, align: /** @type {'end'} */ ('end'), sort: true, min: 420, render: (e) => (at ? '–' : percent(e.p.cpuPercent)) },
    { key: 'memoryBytes', label: t('memory'), width: 92, align: /** @type {'end'} */ ('end'), sort: true, min: 600, render: (e) => (at ? '–' : bytes(e.p.memoryBytes)) },
    { key: 'threads', label: t('process.threads'), width: 76, align: /** @type {'end'} */ ('end'), sort: true, min: 1000, render: (e) => number(e.p.threads) },
    { key: 'startedAt', label: t('process.age'), width: 88, align: /** @type {'end'} */ ('end'), sort: true, min: 820, render: (e) => (at ? age((Date.parse(at) - Date.parse(e.p.startedAt)) / 1000) : html`<${Since} since=${e.p.startedAt} />`), title: (e) => dateTime(e.p.startedAt) },
  ], [owners, folded, at, language.get()]);
  return html`<div class=${'view' + (at ? ' past' : '')}>
    <${Head} title=${t('nav.host')} sub=${live.data ? t('host.shown', { n: entries.length, all: all.length }) : ''}>
      ${at && html`<button type="button" class="primary" onClick=${() => setQuery({ at: '' })}>${t('slider.goLive')}</button>`}
      <${Columns} name="host" columns=${columns} />
      <${Menu} quiet=${false} title=${t('export')} label=${html`<${Icon} name="download" /><span class="words">${t('export')}</span>`} items=${[
        { label: 'CSV', run: () => saveAs('host-processes.csv', 'text/csv', csv(['pid', 'ppid', 'name', 'command', 'user', 'state', 'threads', 'cpuPercent', 'memoryBytes', 'startedAt', 'container'], entries.map(({ p }) => [p.pid, p.ppid, p.name, p.command, p.user, p.state, p.threads, p.cpuPercent, p.memoryBytes, p.startedAt, owners.get(p.containerId)?.name ?? p.containerId]))) },
        { label: 'JSON', run: () => saveAs('host-processes.json', 'application/json', JSON.stringify(entries.map((e) => e.p), null, 2)) }]} />
    </${Head}>
    <${Filterbar}>
      <${Search} value=${query.q ?? ''} label=${t('host.search')} onChange=${(q) => setQuery({ q })} />
      <${Select} label=${t('owner')} value=${owner} onChange=${(value) => setQuery({ owner: value })} options=${[['', t('owner.any')], ['container', t('owner.containers')], ['vm', t('owner.workers')], ['none', t('owner.nobody')], ...[...owners.values()].filter((c) => c.state === 'running').map((c) => [c.id, visible(c.name)])]} />
      <${Choice} label=${t('compare.layout')} value=${flat ? 'flat' : 'tree'} onChange=${(v) => setQuery({ flat: v === 'flat' ? '1' : '' })} options=${[['tree', t('compare.tree'), 'tree'], ['flat', t('compare.flat'), 'list']]} />
      <${Toggle} checked=${kernelThreads} onChange=${(on) => changeSettings({ kernelThreads: on })}>${t('host.kernel')}</${Toggle}>
      <span class="grow"></span>
      <label class="inline-field at-field"><span>${t('host.at')}</span><input type="datetime-local" step="1" aria-label=${t('host.at')} value=${localInput(at)} onChange=${(e) => setQuery({ at: e.target.value ? new Date(e.target.value).toISOString() : '' })} /></label>
    </${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    <${Table} name="host" label=${t('nav.host')} columns=${columns} rows=${entries} rowKey=${(e) => processKey(e.p)} sort=${sort} onSort=${(key) => setQuery({ sort: key, flat: '1' })} loading=${live.loading}
      active=${activeKey} api=${table} onActive=${(e) => choose(e.p)} onFold=${(e, shut) => toggle(foldOf(e.p), shut)} onOpen=${(e) => { if (e.p.containerId) openView('/compare/' + encodeURIComponent(owners.get(e.p.containerId)?.name ?? e.p.containerId)); }}
      rowClass=${(e) => (fresh(processKey(e.p)) ? 'fresh ' : '') + (e.p.worker ? 'worker' : e.p.containerId ? 'same' : '')} empty=${t('host.nomatch')} />
    <section class="detail" aria-label=${t('compare.detail')}>${active ? html`
      <div class="detail-who"><h2>${visible(active.name)}</h2><span class="mono">${active.pid}</span>${gone && !at && html`<span class="tag ended">${t('process.gone')}</span>`}<p class="detail-why">${t('owner.ask')} ${ownerOf(active)}${!active.containerId ? t('owner.nobody') : ''}</p></div>
      <div class="detail-command"><code>${visible(active.command)}</code><${CopyButton} text=${active.command} /></div>
      <div class="buttons">${active.containerId && html`<a class="button primary" href=${link('/compare/' + encodeURIComponent(owners.get(active.containerId)?.name ?? active.containerId), { q: active.worker ? '' : active.name })}><${Icon} name="compare" /> ${t('nav.compare')}</a>`}
        <a class="button" href=${link('/events', { view: 'lives', q: active.name })}><${Icon} name="clock" /> ${t('host.history')}</a></div>` : html`<p class="quiet-text">${t('host.hint')}</p>`}</section>
  </div>`;
}
