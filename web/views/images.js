/* images.js - what containers are made of. */
import { html, useMemo, useRef, useState, useEffect } from '../app/html.js';
import { t, bytes, dateTime, age } from '../app/i18n.js';
import { docker, send, DOCKER } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { link, setQuery, go } from '../app/router.js';
import { can } from '../app/session.js';
import { fold, visible, shortId } from '../app/text.js';
import { by } from '../app/processes.js';
import { readLines } from '../app/progress.js';
import { CopyButton, Empty, Fact, Filterbar, Head, Meter, Problem, Search, openView } from '../components/bits.js';
import { Table } from '../components/table.js';
import { Dialog, Menu, attempt, confirm, toast } from '../components/overlay.js';
import { WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';

const nameOf = (image) => image.RepoTags?.[0] ?? image.RepoDigests?.[0] ?? shortId(image.Id);

export default function Images({ id = '', query }) {
  const live = useLive('images', docker.images, { interval: 6000 });
  const containers = useContainers();
  const [job, setJob] = useState(/** @type {any} */ (null));
  const [pulling, setPulling] = useState(false);
  const [over, setOver] = useState(false);
  const file = useRef(/** @type {HTMLInputElement} */ (null));
  const sort = query.sort ?? 'name';
  const all = live.data ?? [];
  const users = (image) => (containers.data?.containers ?? []).filter((c) => c.imageId === image.Id);
  const rows = useMemo(() => {
    const text = fold(query.q ?? '');
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return all.map((image) => ({ ...image, name: nameOf(image) })).filter((image) => fold([...(image.RepoTags ?? []), image.Id].join(' ')).includes(text)).sort(by(key, descending));
  }, [live.data, query.q, sort]);

  const run = async (title, request) => {
    const layers = new Map();
    const abort = new AbortController();
    const state = { title, layers, line: '', done: false, error: '', abort };
    setJob({ ...state });
    try {
      await readLines(await request(abort.signal), (m) => {
        if (m.id && m.status) layers.set(m.id, { status: m.status, part: m.progressDetail?.total ? m.progressDetail.current / m.progressDetail.total : layers.get(m.id)?.part ?? 0 });
        else state.line = (m.stream ?? m.status ?? '').trim() || state.line;
        setJob({ ...state });
      });
      setJob({ ...state, done: true });
    } catch (error) {
      setJob({ ...state, done: true, error: error.name === 'AbortError' ? t('cancelled') : error.message });
    }
    refreshAll('images');
  };
  const load = (f) => f && run(t('images.loading', { name: visible(f.name) }), (signal) => send('POST', `${DOCKER}/images/load`, { raw: f, type: 'application/x-tar', signal }));
  const pull = (name) => {
    const at = name.lastIndexOf(':'), tagged = at > name.lastIndexOf('/');
    setPulling(false);
    run(t('images.pulling', { name }), (signal) => send('POST', `${DOCKER}/images/create`, { query: { fromImage: tagged ? name.slice(0, at) : name, tag: tagged ? name.slice(at + 1) : 'latest' }, signal }));
  };
  const remove = async (image) => {
    const used = users(image);
    if (await confirm({ title: t('images.remove', { name: visible(nameOf(image)) }), text: used.length ? t('images.used', { n: used.length }) : t('images.remove.text'), action: t('action.remove'), danger: true, choices: used.length ? [{ key: 'force', label: t('images.force') }] : [] }).then((answer) => answer && attempt(() => docker.imageRemove(image.RepoTags?.[0] ?? image.Id, answer.force).then(() => refreshAll('images')), t('done.remove', { name: visible(nameOf(image)) })))) if (id) go(link('/images', query));
  };
  const tag = async (image) => {
    const answer = await confirm({ title: t('images.tag', { name: visible(nameOf(image)) }), action: t('images.tag.go'), field: { label: t('images.newName'), value: '', hint: 'repository:tag' } });
    if (!answer || !answer.value) return;
    const at = answer.value.lastIndexOf(':'), tagged = at > answer.value.lastIndexOf('/');
    attempt(() => docker.imageTag(image.Id, tagged ? answer.value.slice(0, at) : answer.value, tagged ? answer.value.slice(at + 1) : 'latest').then(() => refreshAll('images')), t('done.tag', { name: answer.value }));
  };
  const prune = async () => {
    if (await confirm({ title: t('images.prune'), text: t('images.prune.text'), action: t('prune'), danger: true }))
      attempt(() => docker.imagesPrune().then((r) => { refreshAll('images'); toast(t('prune.space', { space: bytes(r?.SpaceReclaimed ?? 0) })); }));
  };
  const save = (image) => { const a = document.createElement('a'); a.href = `${DOCKER}/images/${encodeURIComponent(image.RepoTags?.[0] ?? image.Id)}/get`; a.download = nameOf(image).replace(/[/:]/g, '_') + '.tar'; a.click(); };
  const items = (image) => [
    can('operate') && { label: t('images.run'), icon: 'play', run: () => go(link('/containers/new', { image: image.RepoTags?.[0] ?? image.Id })) },
    can('operate') && { label: t('images.tag.go'), icon: 'pin', run: () => tag(image) },
    can('operate') && { label: t('images.save'), icon: 'download', run: () => save(image) },
    can('operate') && { label: t('action.remove'), icon: 'remove', danger: true, run: () => remove(image) }];
  const columns = [
    { key: 'name', label: t('name'), sort: true, render: (i) => html`<a class="strong cut" href=${link('/images/' + encodeURIComponent(i.Id), query)}>${visible(i.name)}</a>${(i.RepoTags?.length ?? 0) > 1 ? html` <span class="tag">+${i.RepoTags.length - 1}</span>` : ''}` },
    { key: 'Id', label: t('images.id'), width: 130, min: 640, render: (i) => html`<code>${shortId(i.Id)}</code>` },
    { key: 'Size', label: t('size'), width: 96, align: /** @type {'end'} */ ('end'), sort: true, render: (i) => bytes(i.Size) },
    { key: 'Created', label: t('created'), width: 100, align: /** @type {'end'} */ ('end'), sort: true, min: 760, render: (i) => age(Date.now() / 1000 - i.Created), title: (i) => dateTime(i.Created * 1000) },
    { key: 'users', label: t('images.users'), width: 110, align: /** @type {'end'} */ ('end'), min: 560, render: (i) => users(i).length || '–' },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (i) => can('operate') && html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${items(i)} />` },
  ];
  const chosen = id ? all.find((i) => i.Id === id || i.RepoTags?.includes(id)) : null;
  return html`<div class=${'view' + (over ? ' drop-over' : '')} onDragOver=${(e) => { if (can('operate') && e.dataTransfer?.types.includes('Files')) { e.preventDefault(); setOver(true); } }} onDragLeave=${() => setOver(false)}
    onDrop=${(e) => { if (!can('operate')) return; e.preventDefault(); setOver(false); load(e.dataTransfer.files[0]); }}>
    <${Head} title=${t('nav.images')} sub=${live.data ? t('images.count', { n: all.length }) : ''}>
      ${can('operate') && html`<button type="button" onClick=${prune}>${t('prune')}</button>
        <button type="button" onClick=${() => file.current.click()}><${Icon} name="upload" /> ${t('images.load')}</button><input ref=${file} type="file" hidden accept=".tar,.gz,.tgz,.zst" aria-label=${t('images.load')} onChange=${(e) => { load(e.target.files[0]); e.target.value = ''; }} />
        <button type="button" class="primary" onClick=${() => setPulling(true)}><${Icon} name="download" /> ${t('images.pull')}</button>`}</${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('images.search')} onChange=${(q) => setQuery({ q })} /><span class="quiet-text">${can('operate') ? t('images.drop') : ''}</span></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    ${live.data && !all.length ? html`<${Empty} title=${t('images.none')} text=${t('images.none.text')} />` : html`<${Table} label=${t('nav.images')} columns=${columns} rows=${rows} rowKey=${(i) => i.Id} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} active=${chosen?.Id ?? undefined}
      onActive=${(i) => go(link('/images/' + encodeURIComponent(i.Id), query), { replace: true })} onOpen=${(i) => can('operate') && openView('/containers/new', { image: i.RepoTags?.[0] ?? i.Id })} />`}
    ${chosen && html`<${ImageDetail} key=${chosen.Id} image=${chosen} users=${users(chosen)} items=${items(chosen)} onClose=${() => go(link('/images', query), { replace: true })} />`}
    ${pulling && html`<${Pull} onClose=${() => setPulling(false)} onPull=${pull} />`}
    ${job && html`<${Dialog} title=${job.title} onClose=${() => { if (!job.done) job.abort.abort(); setJob(null); }}>
      <ul class="layers">${[...job.layers].map(([layer, s]) => html`<li key=${layer}><code>${visible(layer)}</code><span>${visible(s.status)}</span><${Meter} value=${s.part} /></li>`)}</ul>
      <p role="status">${job.error ? html`<span class="bad-text">${job.error}</span>` : job.done ? t('images.ready') : visible(job.line || t('loading'))}</p>
      <div class="buttons end"><button type="button" class=${job.done ? 'primary' : ''} onClick=${() => { if (!job.done) job.abort.abort(); setJob(null); }}>${job.done ? t('close') : t('cancel')}</button></div></${Dialog}>`}
  </div>`;
}

function Pull({ onClose, onPull }) {
  const [name, setName] = useState('');
  return html`<${Dialog} title=${t('images.pull')} onClose=${onClose}><form onSubmit=${(e) => { e.preventDefault(); if (name.trim()) onPull(name.trim()); }}>
    <label class="field"><span>${t('image')}</span><input value=${name} onInput=${(e) => setName(e.target.value)} placeholder="registry/repository:tag" spellcheck="false" autocapitalize="none" required autofocus /></label>
    <div class="buttons end"><button type="button" onClick=${onClose}>${t('cancel')}</button><button type="submit" class="primary">${t('images.pull')}</button></div></form></${Dialog}>`;
}

function ImageDetail({ image, users, items, onClose }) {
  const [more, setMore] = useState(/** @type {any} */ (null));
  useEffect(() => {
    let mine = true;
    Promise.all([docker.image(image.Id), docker.imageHistory(image.Id)]).then(([inspect, history]) => mine && setMore({ inspect, history }), (error) => mine && setMore({ error }));
    return () => { mine = false; };
  }, [image.Id]);
  const c = more?.inspect?.Config ?? {};
  return html`<section class="drawer" aria-label=${t('images.detail')}>
    <header class="view-head"><h2>${visible(nameOf(image))}</h2><div class="view-actions"><${Menu} quiet=${false} title=${t('more')} label=${t('more')} items=${items} /><button type="button" class="quiet icon-only" aria-label=${t('close')} onClick=${onClose}><${Icon} name="close" /></button></div></header>
    <div class="drawer-columns"><div><dl class="facts">
      <${Fact} label=${t('images.id')}><code>${shortId(image.Id)}</code><${CopyButton} text=${image.Id} /></${Fact}>
      <${Fact} label=${t('images.tags')}>${(image.RepoTags ?? []).map(visible).join(', ') || '–'}</${Fact}>
      <${Fact} label=${t('size')}>${bytes(image.Size)}</${Fact}><${Fact} label=${t('created')}>${dateTime(image.Created * 1000)}</${Fact}>
      <${Fact} label=${t('command')}><code>${visible([...(c.Entrypoint ?? []), ...(c.Cmd ?? [])].join(' ')) || '–'}</code></${Fact}>
      <${Fact} label=${t('images.platform')}>${more?.inspect ? `${more.inspect.Os}/${more.inspect.Architecture}` : '–'}</${Fact}></dl></div>
    <div><h3>${t('images.layers')}</h3>${more?.error ? html`<${Problem} error=${more.error} />` : html`<ol class="history">${(more?.history ?? []).map((h, i) => html`<li key=${i}><span class="num">${bytes(h.Size)}</span><code class="cut" title=${visible(h.CreatedBy)}>${visible(h.CreatedBy || h.Comment || '–')}</code></li>`)}</ol>`}</div>
    <div><h3>${t('images.users')}</h3>${users.length ? html`<ul class="members">${users.map((u) => html`<li key=${u.id}><a href=${link('/containers/' + encodeURIComponent(u.name))}>${visible(u.name)}</a><${WallBadge} isolation=${u.isolation} /></li>`)}</ul>` : html`<p class="quiet-text">${t('images.nobody')}</p>`}</div></div></section>`;
}
