/* volumes.js */
import { html, useMemo, useState } from '../app/html.js';
import { t, dateTime } from '../app/i18n.js';
import { docker } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { setQuery } from '../app/router.js';
import { can } from '../app/session.js';
import { fold, visible } from '../app/text.js';
import { by } from '../app/processes.js';
import { Empty, Filterbar, Head, Problem, Search } from '../components/bits.js';
import { Table } from '../components/table.js';
import { Dialog, attempt, confirm } from '../components/overlay.js';
import { Icon } from '../components/icons.js';

export default function Volumes({ query }) {
  const live = useLive('volumes', docker.volumes, { interval: 5000 });
  const [making, setMaking] = useState(false);
  const [name, setName] = useState('');
  const sort = query.sort ?? 'Name';
  const all = live.data?.Volumes ?? [];
  const rows = useMemo(() => {
    const text = fold(query.q ?? '');
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return all.filter((v) => fold(v.Name).includes(text)).sort(by(key, descending));
  }, [live.data, query.q, sort]);
  const remove = async (v) => {
    if (await confirm({ title: t('volumes.remove', { name: visible(v.Name) }), text: t('volumes.remove.text'), action: t('action.remove'), danger: true, type: v.Name }))
      attempt(() => docker.volumeRemove(v.Name).then(() => refreshAll('volumes')), t('done.remove', { name: visible(v.Name) }));
  };
  const prune = async () => {
    if (await confirm({ title: t('volumes.prune'), text: t('volumes.prune.text'), action: t('prune'), danger: true })) attempt(() => docker.volumesPrune().then(() => refreshAll('volumes')), t('prune.done'));
  };
  const columns = [
    { key: 'Name', label: t('name'), sort: true, render: (v) => html`<span class="strong cut">${visible(v.Name)}</span>`, title: (v) => v.Name },
    { key: 'Driver', label: t('volumes.driver'), width: 100, sort: true, min: 520, render: (v) => visible(v.Driver) },
    { key: 'Mountpoint', label: t('volumes.place'), min: 700, render: (v) => html`<span class="mono cut">${visible(v.Mountpoint)}</span>`, title: (v) => v.Mountpoint },
    { key: 'CreatedAt', label: t('created'), width: 180, sort: true, min: 860, render: (v) => dateTime(v.CreatedAt) },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (v) => can('operate') && html`<button type="button" class="quiet icon-only" tabindex="-1" aria-label=${t('action.remove') + ' ' + visible(v.Name)} onClick=${() => remove(v)}><${Icon} name="remove" /></button>` },
  ];
  return html`<div class="view"><${Head} title=${t('nav.volumes')} sub=${live.data ? t('volumes.count', { n: all.length }) : ''}>
      ${can('operate') && html`<button type="button" onClick=${prune}>${t('prune')}</button><button type="button" class="primary" onClick=${() => setMaking(true)}><${Icon} name="plus" /> ${t('volumes.create')}</button>`}</${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('volumes.search')} onChange=${(q) => setQuery({ q })} /></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    ${live.data && !all.length ? html`<${Empty} title=${t('volumes.none')} text=${t('volumes.none.text')} />` : html`<${Table} label=${t('nav.volumes')} columns=${columns} rows=${rows} rowKey=${(v) => v.Name} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} />`}
    ${making && html`<${Dialog} title=${t('volumes.create')} onClose=${() => setMaking(false)}><form onSubmit=${(e) => { e.preventDefault(); attempt(() => docker.volumeCreate({ Name: name }).then(() => { setMaking(false); setName(''); refreshAll('volumes'); }), t('done.create', { name })); }}>
      <label class="field"><span>${t('name')}</span><input value=${name} onInput=${(e) => setName(e.target.value)} pattern="[a-zA-Z0-9][a-zA-Z0-9_.\\-]*" autofocus /><small>${t('volumes.name.hint')}</small></label>
      <div class="buttons end"><button type="button" onClick=${() => setMaking(false)}>${t('cancel')}</button><button type="submit" class="primary">${t('volumes.create')}</button></div></form></${Dialog}>`}
  </div>`;
}
