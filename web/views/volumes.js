/* volumes.js - what keeps data when its container is gone, and who uses it. */
import { html, useMemo, useState } from '../app/html.js';
import { t, bytes, dateTime, shortDate } from '../app/i18n.js';
import { docker, get, DOCKER } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { go, link, setQuery } from '../app/router.js';
import { can } from '../app/session.js';
import { fold, visible } from '../app/text.js';
import { by } from '../app/processes.js';
import { useCommands } from '../app/keys.js';
import { carryOut } from '../app/many.js';
import { Bulk, CopyButton, Empty, Fact, Filterbar, Head, Problem, Search, useSelection } from '../components/bits.js';
import { Columns, Table } from '../components/table.js';
import { Dialog, Menu, attempt, confirm, toast } from '../components/overlay.js';
import { StateBadge, WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';

const anonymous = (name) => /^[0-9a-f]{64}$/.test(name);
const labelOf = (name) => visible(anonymous(name) ? name.slice(0, 12) + '…' : name);

const nameOf = (v) => v.Name;

/** @type {import('../app/many.js').Kind} */
const kind = {
  name: (v) => labelOf(v.Name), count: (n) => t('volumes.count', { n }), topic: 'volume',
  actions: {
    remove: {
      icon: 'remove', danger: true,
      question: (list) => {
        const n = list.length, used = list.filter((v) => v.users).length;
        return {
          text: (used ? (n === 1 ? t('images.used', { n: list[0].users }) : t('bulk.used', { n: used })) + ' ' : '') + t('volumes.remove.text', { n }),
          type: n > 1 ? String(n) : anonymous(list[0].Name) ? undefined : list[0].Name,
        };
      },
      run: (v) => docker.volumeRemove(v.Name),
    },
  },
};

export default function Volumes({ id = '', query }) {
  const live = useLive('volumes', docker.volumes, { interval: 5000 });
  /* Sizes are counted file by file: not every few seconds. */
  const usage = useLive('volume-usage', () => get(`${DOCKER}/system/df`, { type: 'volume' }), { interval: 30000 });
  const mounts = useLive('volume-mounts', () => get(`${DOCKER}/containers/json`, { all: true }), { interval: 5000 });
  const walls = useContainers().data?.containers ?? [];
  const [making, setMaking] = useState(false);
  const [name, setName] = useState('');
  const sort = query.sort ?? 'Name';
  const users = useMemo(() => {
    const map = new Map();
    for (const c of mounts.data ?? []) for (const m of c.Mounts ?? []) if (m.Type === 'volume') map.set(m.Name, [...(map.get(m.Name) ?? []), { c, m }]);
    return map;
  }, [mounts.data]);
  const sizes = useMemo(() => new Map((usage.data?.Volumes ?? []).map((v) => [v.Name, v.UsageData?.Size ?? null])), [usage.data]);
  const all = useMemo(() => (live.data?.Volumes ?? []).map((v) => ({ ...v, size: sizes.get(v.Name) ?? null, users: users.get(v.Name)?.length ?? 0 })), [live.data, sizes, users]);
  const rows = useMemo(() => {
    const text = fold(query.q ?? '');
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return all.filter((v) => fold(v.Name + ' ' + Object.entries(v.Labels ?? {}).flat().join(' ')).includes(text)).sort(by(key, descending));
  }, [all, query.q, sort]);
  const chosen = id ? all.find((v) => v.Name === id) : null;
  const close = () => go(link('/volumes', query), { replace: true });
  const remove = (list) => carryOut(kind, 'remove', list).then((failed) => failed && id && !failed.length && list.some((v) => v.Name === id) && close());
  const selection = useSelection(all, nameOf);
  const acting = selection.chosen.length ? selection.chosen : chosen ? [chosen] : [];
  useCommands(can('operate') ? [{ keys: 'Delete', label: t('action.remove'), run: () => { remove(acting); } }] : []);
  const prune = async () => {
    if (await confirm({ title: t('volumes.prune'), text: t('volumes.prune.text'), action: t('prune'), danger: true })) attempt(() => docker.volumesPrune().then((r) => { refreshAll('volume'); toast(t('prune.space', { space: bytes(r?.SpaceReclaimed ?? 0) })); }));
  };
  const columns = [
    { key: 'Name', label: t('name'), sort: true, render: (v) => html`<a class="strong cut" href=${link('/volumes/' + encodeURIComponent(v.Name), query)}>${labelOf(v.Name)}</a>`, title: (v) => v.Name },
    { key: 'size', label: t('size'), width: 96, align: /** @type {'end'} */ ('end'), sort: true, render: (v) => (v.size === null || v.size < 0 ? '–' : bytes(v.size)) },
    { key: 'users', label: t('images.users'), width: 96, align: /** @type {'end'} */ ('end'), sort: true, min: 420, render: (v) => v.users || '–' },
    { key: 'Driver', label: t('volumes.driver'), width: 100, sort: true, min: 860, render: (v) => visible(v.Driver) },
    { key: 'Mountpoint', label: t('volumes.place'), off: true, width: 320, render: (v) => html`<span class="mono cut">${visible(v.Mountpoint)}</span>`, title: (v) => v.Mountpoint },
    { key: 'CreatedAt', label: t('created'), width: 150, sort: true, min: 640, render: (v) => shortDate(v.CreatedAt), title: (v) => dateTime(v.CreatedAt) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (v) => can('operate') && html`<button type="button" class="quiet icon-only" tabindex="-1" title=${t('action.remove')} aria-label=${t('action.remove') + ' ' + visible(v.Name)} onClick=${() => { remove([v]); }}><${Icon} name="remove" /></button>` },
  ];
  return html`<div class="view"><${Head} title=${t('nav.volumes')} sub=${live.data ? t('volumes.count', { n: all.length }) : ''}>
      <${Columns} name="volumes" columns=${columns} />
      ${can('operate') && html`<${Menu} quiet=${false} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('prune'), icon: 'remove', danger: true, run: prune }]} /><button type="button" class="primary" onClick=${() => setMaking(true)}><${Icon} name="plus" /><span class="words">${t('volumes.create')}</span></button>`}</${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('volumes.search')} onChange=${(q) => setQuery({ q })} />${can('operate') && html`<${Bulk} kind=${kind} selection=${selection} />`}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    ${live.data && !all.length ? html`<${Empty} title=${t('volumes.none')} text=${t('volumes.none.text')} />` : html`<${Table} name="volumes" label=${t('nav.volumes')} columns=${columns} rows=${rows} rowKey=${nameOf} selected=${can('operate') ? selection.selected : undefined} onSelect=${can('operate') ? selection.select : undefined} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} active=${chosen?.Name ?? undefined}
      onActive=${(v) => go(link('/volumes/' + encodeURIComponent(v.Name), query), { replace: true })} />`}
    ${chosen && html`<${Detail} volume=${chosen} users=${users.get(chosen.Name) ?? []} walls=${walls} onRemove=${() => { remove([chosen]); }} onClose=${close} />`}
    ${making && html`<${Dialog} title=${t('volumes.create')} onClose=${() => setMaking(false)}><form onSubmit=${(e) => { e.preventDefault(); attempt(() => docker.volumeCreate({ Name: name }).then(() => { setMaking(false); setName(''); refreshAll('volume'); }), t('done.create', { name })); }}>
      <label class="field"><span>${t('name')}</span><input value=${name} onInput=${(e) => setName(e.target.value)} pattern="[a-zA-Z0-9][a-zA-Z0-9_.\\-]*" autofocus /><small>${t('volumes.name.hint')}</small></label>
      <div class="buttons end"><button type="button" onClick=${() => setMaking(false)}>${t('cancel')}</button><button type="submit" class="primary">${t('volumes.create')}</button></div></form></${Dialog}>`}
  </div>`;
}

function Detail({ volume: v, users, walls, onRemove, onClose }) {
  const pairs = [...Object.entries(v.Labels ?? {}), ...Object.entries(v.Options ?? {})];
  return html`<section class="drawer" aria-label=${t('volumes.detail')}><header class="view-head"><h2 class="cut">${labelOf(v.Name)}</h2><${CopyButton} text=${v.Name} /><span class="grow"></span><div class="view-actions">
      ${can('operate') && html`<a class="button" href=${link('/containers/new', { volume: v.Name })}><${Icon} name="plus" /><span class="words">${t('images.run')}</span></a><button type="button" class="danger-text" onClick=${onRemove}><${Icon} name="remove" /><span class="words">${t('action.remove')}</span></button>`}
      <button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button></div></header>
    <div class="drawer-columns"><dl class="facts"><${Fact} label=${t('volumes.driver')}>${visible(v.Driver)}</${Fact}><${Fact} label=${t('size')}>${v.size === null || v.size < 0 ? '–' : bytes(v.size)}</${Fact}><${Fact} label=${t('created')}>${dateTime(v.CreatedAt)}</${Fact}>
      <${Fact} label=${t('volumes.place')}><code>${visible(v.Mountpoint)}</code><${CopyButton} text=${v.Mountpoint} /></${Fact}></dl>
    <div class="drawer-wide"><h3>${t('images.users')}</h3>${users.length ? html`<ul class="members">${users.map(({ c, m }) => { const name = (c.Names?.[0] ?? c.Id).replace(/^\//, ''); return html`<li key=${c.Id + m.Destination} class=${c.State === 'running' ? '' : 'dim'}><a href=${link('/containers/' + encodeURIComponent(name))}>${visible(name)}</a><${WallBadge} isolation=${walls.find((one) => one.id === c.Id)?.isolation ?? 'process'} word=${false} /><${StateBadge} state=${c.State} /><span class="address">${can('operate') ? html`<a class="mono" href=${link('/containers/' + encodeURIComponent(name) + '/files', { path: m.Destination })}>${visible(m.Destination)}</a>` : html`<span class="mono">${visible(m.Destination)}</span>`}${m.RW ? '' : ' · ' + t('mount.ro')}</span></li>`; })}</ul>` : html`<p class="quiet-text">${t('images.nobody')}</p>`}</div>
    <div><h3>${t('create.labels')}</h3>${pairs.length ? html`<ul class="values">${pairs.map(([key, value]) => html`<li key=${key}><code>${visible(key)}=${visible(value)}</code></li>`)}</ul>` : html`<p class="quiet-text">${t('none')}</p>`}</div></div></section>`;
}
