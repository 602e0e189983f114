/* containers.js - all of them, and what can be done to many at once. */
import { html, useMemo, useState } from '../app/html.js';
import { t, bytes, number, percent, shortDate } from '../app/i18n.js';
import { useContainers, useInfo } from '../app/sources.js';
import { feed, seriesOf } from '../app/series.js';
import { link, setQuery } from '../app/router.js';
import { can } from '../app/session.js';
import { fold, visible, csv, imageName, shortId } from '../app/text.js';
import { by } from '../app/processes.js';
import { act, actionItems, containers } from '../app/actions.js';
import { useCommands } from '../app/keys.js';
import { Age, Bulk, Choice, Empty, Filterbar, Head, Problem, Search, Select, Sparkline, openView, saveAs, CopyButton, useSelection } from '../components/bits.js';
import { Columns, Table } from '../components/table.js';
import { Menu } from '../components/overlay.js';
import { StateBadge, WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';

const idOf = (c) => c.id;

export default function Containers({ query }) {
  const list = useContainers();
  const info = useInfo();
  const [active, setActive] = useState(/** @type {any} */ (null));
  const all = list.data?.containers ?? [];
  const selection = useSelection(all, idOf), { chosen } = selection;
  feed(all, list.at);
  const sort = query.sort ?? 'name';
  const rows = useMemo(() => {
    const words = fold(query.q ?? '').split(/\s+/).filter(Boolean);
    const found = all.filter((c) =>
      (!query.wall || c.isolation === query.wall) && (!query.state || (query.state === 'stopped' ? !/running|paused|restarting/.test(c.state) : c.state === query.state)) &&
      words.every((word) => fold(`${c.name} ${c.image} ${c.id} ${c.command.join(' ')} ${c.networks.map((n) => n.ip).join(' ')}`).includes(word)));
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return found.sort(by(key, descending));
  }, [list.data, query.q, query.wall, query.state, sort]);
  const acting = chosen.length ? chosen : active ? all.filter((c) => c.id === active.id) : [];
  const path = (c) => '/containers/' + encodeURIComponent(c.name);
  useCommands([
    ...(can('operate') ? [['s', 'start'], ['S', 'stop'], ['r', 'restart'], ['Delete', 'remove']].map(([keys, name]) => ({ keys, label: t('action.' + name), run: () => { act(name, acting); } })) : []),
    { keys: 'm', label: t('nav.compare'), run: () => { if (acting[0]) openView('/compare/' + encodeURIComponent(acting[0].name), acting[1] ? { with: acting[1].name } : undefined); } },
  ]);

  const example = `docker -H unix://${info.data?.socket ?? '/run/tabique/tabique.sock'} run -d tabique/base ping localhost`;
  const columns = [
    { key: 'name', label: t('name'), sort: true, render: (c, narrow) => html`${narrow && html`<${WallBadge} isolation=${c.isolation} word=${false} /> `}<a class="strong" href=${link(path(c))}>${visible(c.name)}</a>` },
    { key: 'isolation', label: t('wall'), width: 104, sort: true, min: 520, render: (c) => html`<${WallBadge} isolation=${c.isolation} />` },
    { key: 'state', label: t('state'), width: (w) => (w < 520 ? 112 : 132), sort: true, render: (c) => html`<${StateBadge} state=${c.state} health=${c.health} exitCode=${c.exitCode} />`, title: (c) => c.status },
    { key: 'image', label: t('image'), width: 160, sort: true, min: 700, render: (c) => imageName(c.image), title: (c) => c.image },
    { key: 'cpuPercent', label: t('cpu'), width: 76, align: /** @type {'end'} */ ('end'), sort: true, min: 480, render: (c) => percent(c.cpuPercent) },
    { key: 'spark', label: t('table.trend'), quiet: true, later: true, width: 88, min: 980, render: (c) => html`<${Sparkline} values=${seriesOf('cpu' + c.id)} />` },
    { key: 'memoryBytes', label: t('memory'), width: 92, align: /** @type {'end'} */ ('end'), sort: true, min: 580, render: (c) => bytes(c.memoryBytes) },
    { key: 'health', label: t('setup.health'), width: 100, off: true, sort: true, render: (c) => (c.health && c.health !== 'none' ? t('health.' + c.health) : '–') },
    { key: 'command', label: t('command'), width: 220, off: true, look: 'mono', render: (c) => visible(c.command.join(' ')), title: (c) => visible(c.command.join(' ')) },
    { key: 'networks', label: t('networks.subnet'), width: 150, off: true, look: 'mono', render: (c) => c.networks.map((n) => n.ip).filter(Boolean).join(' ') || '–' },
    { key: 'restartCount', label: t('summary.restarts'), width: 92, align: /** @type {'end'} */ ('end'), off: true, sort: true, render: (c) => number(c.restartCount) },
    { key: 'createdAt', label: t('created'), width: 150, off: true, sort: true, render: (c) => shortDate(c.createdAt) },
    { key: 'id', label: t('images.id'), width: 130, off: true, render: (c) => html`<code>${shortId(c.id)}</code>` },
    { key: 'pids', label: t('processes'), width: 92, align: /** @type {'end'} */ ('end'), sort: true, min: 1160, render: (c) => c.pids ?? '–' },
    { key: 'ports', label: t('ports'), width: 130, min: 1400, look: 'mono', render: (c) => portsText(c.ports) },
    { key: 'startedAt', label: t('uptime'), width: 92, align: /** @type {'end'} */ ('end'), sort: true, min: 820, render: (c) => (c.state === 'running' || c.state === 'paused' ? html`<${Age} since=${c.startedAt} />` : '–') },
    { key: 'actions', label: t('table.actions'), quiet: true, later: true, width: (w) => (w < 520 ? 48 : 116), render: (c) => html`<span class="row-actions">
        <a class="quiet icon-only wide-only" href=${link('/compare/' + encodeURIComponent(c.name))} aria-label=${t('palette.compare', { name: visible(c.name) })} title=${t('nav.compare')} tabindex="-1"><${Icon} name="compare" /></a>
        ${can('operate') && html`<button type="button" class="quiet icon-only wide-only" tabindex="-1" aria-label=${t(c.state === 'running' || c.state === 'paused' ? 'action.stop' : 'action.start') + ' ' + visible(c.name)} title=${t(c.state === 'running' || c.state === 'paused' ? 'action.stop' : 'action.start')} onClick=${() => act(c.state === 'running' || c.state === 'paused' ? 'stop' : 'start', [c])}><${Icon} name=${c.state === 'running' || c.state === 'paused' ? 'stop' : 'play'} /></button>
        <${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('nav.compare'), icon: 'compare', run: () => openView('/compare/' + encodeURIComponent(c.name)) }, ...actionItems(c)]} />`}</span>` },
  ];
  return html`<div class="view">
    <${Head} title=${t('nav.containers')} sub=${list.data ? t('containers.shown', { n: rows.length, all: all.length }) : ''}>
      <${Columns} name="containers" columns=${columns} />
      <${Menu} quiet=${false} title=${t('export')} label=${html`<${Icon} name="download" /><span class="words">${t('export')}</span>`} items=${[
        { label: 'CSV', run: () => saveAs('containers.csv', 'text/csv', csv(['name', 'isolation', 'state', 'image', 'cpuPercent', 'memoryBytes', 'pids', 'startedAt', 'id'], rows.map((c) => [c.name, c.isolation, c.state, c.image, c.cpuPercent, c.memoryBytes, c.pids, c.startedAt, c.id]))) },
        { label: 'JSON', run: () => saveAs('containers.json', 'application/json', JSON.stringify(rows, null, 2)) }]} />
      ${can('operate') && html`<a class="button primary" href=${link('/containers/new')}><${Icon} name="plus" /><span class="words">${t('create.short')}</span></a>`}
    </${Head}>
    <${Filterbar}>
      <${Search} value=${query.q ?? ''} label=${t('containers.search')} onChange=${(q) => setQuery({ q })} />
      <${Choice} label=${t('wall')} value=${query.wall ?? ''} onChange=${(wall) => setQuery({ wall })} options=${[['', t('all')], ['process', t('wall.process')], ['hyperv', t('wall.hyperv')]]} />
      <${Select} label=${t('state')} value=${query.state ?? ''} onChange=${(state) => setQuery({ state })} options=${[['', t('state.any')], ...['running', 'paused', 'stopped', 'exited', 'created'].map((s) => [s, t('state.' + s)])]} />
      ${can('operate') && html`<${Bulk} kind=${containers} selection=${selection} without=${['kill']}>${chosen.length === 2 && html`<a class="button" href=${link('/compare/' + encodeURIComponent(chosen[0].name), { with: chosen[1].name })}><${Icon} name="compare" /> ${t('nav.compare')}</a>`}</${Bulk}>`}
    </${Filterbar}>
    <${Problem} error=${list.error} stale=${list.stale} />
    ${list.data && all.length === 0
      ? html`<${Empty} title=${t('containers.none')} text=${t('containers.none.text')}><p><code>${example}</code> <${CopyButton} text=${example} /></p>
          ${can('operate') && html`<a class="button primary" href=${link('/containers/new')}><${Icon} name="plus" /> ${t('create.title')}</a>`}</${Empty}>`
      : html`<${Table} name="containers" label=${t('nav.containers')} columns=${columns} rows=${rows} rowKey=${idOf} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${list.loading}
          selected=${can('operate') ? selection.selected : undefined} onSelect=${can('operate') ? selection.select : undefined} onActive=${setActive} onOpen=${(c) => openView(path(c))}
          rowClass=${(c) => (c.state === 'running' ? '' : 'dim')} empty=${t('containers.nomatch')} />`}
  </div>`;
}

export function portsText(ports) {
  return Object.entries(ports ?? {}).flatMap(([inner, list]) => (list ?? []).filter((b) => !b.HostIp?.includes(':')).map((b) => `${b.HostPort}→${inner.replace('/tcp', '')}`)).join(' ');
}
