/* images.js - what containers are made of. */
import { html, useMemo, useRef, useState } from '../app/html.js';
import { t, bytes, dateTime, age } from '../app/i18n.js';
import { docker, send, DOCKER } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { link, setQuery, go } from '../app/router.js';
import { can } from '../app/session.js';
import { fold, nameAndTag, visible, shortId } from '../app/text.js';
import { by } from '../app/processes.js';
import { startJob } from '../app/jobs.js';
import { droppedItems, isArchive } from '../app/context.js';
import { Empty, Filterbar, Head, Problem, Search, openView } from '../components/bits.js';
import { Columns, Table } from '../components/table.js';
import { Menu, attempt, confirm, toast } from '../components/overlay.js';
import { Icon } from '../components/icons.js';
import { Build, Pull, Push } from './images/dialogs.js';
import { Detail } from './images/detail.js';

export const nameOf = (image) => image.RepoTags?.[0] ?? image.RepoDigests?.[0] ?? shortId(image.Id);

export default function Images({ id = '', query }) {
  const live = useLive('images', docker.images, { interval: 6000 });
  const containers = useContainers();
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
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

  const load = (f) => startJob(t('images.loading', { name: visible(f.name) }), (signal) => send('POST', `${DOCKER}/images/load`, { raw: f, type: 'application/x-tar', signal }));
  /* An archive alone is an image; all else is what one builds from. */
  const dropped = async (event) => {
    if (!can('operate')) return;
    event.preventDefault();
    setOver(false);
    const items = await droppedItems(event.dataTransfer);
    if (items.length === 1 && isArchive(items[0].name)) load(items[0].data); else if (items.length) setDialog({ kind: 'build', items });
  };
  const remove = async (image) => {
    const used = users(image);
    if (await confirm({ title: t('images.remove', { name: visible(nameOf(image)) }), text: used.length ? t('images.used', { n: used.length }) : t('images.remove.text'), action: t('action.remove'), danger: true, choices: used.length ? [{ key: 'force', label: t('images.force') }] : [] }).then((answer) => answer && attempt(() => docker.imageRemove(image.RepoTags?.[0] ?? image.Id, answer.force).then(() => refreshAll('images')), t('done.remove', { name: visible(nameOf(image)) })))) if (id) go(link('/images', query));
  };
  const tag = async (image) => {
    const answer = await confirm({ title: t('images.tag', { name: visible(nameOf(image)) }), action: t('images.tag.go'), field: { label: t('images.newName'), value: '', hint: 'repository:tag' } });
    if (!answer || !answer.value) return;
    const [repo, name] = nameAndTag(answer.value.trim());
    attempt(() => docker.imageTag(image.Id, repo, name || 'latest').then(() => refreshAll('images')), t('done.tag', { name: answer.value }));
  };
  const prune = async () => {
    if (await confirm({ title: t('images.prune'), text: t('images.prune.text'), action: t('prune'), danger: true }))
      attempt(() => docker.imagesPrune().then((r) => { refreshAll('images'); toast(t('prune.space', { space: bytes(r?.SpaceReclaimed ?? 0) })); }));
  };
  const save = (image) => { const a = document.createElement('a'); a.href = `${DOCKER}/images/${encodeURIComponent(image.RepoTags?.[0] ?? image.Id)}/get`; a.download = nameOf(image).replace(/[/:]/g, '_') + '.tar'; a.click(); };
  const items = (image) => [
    can('operate') && { label: t('images.run'), icon: 'play', run: () => go(link('/containers/new', { image: image.RepoTags?.[0] ?? image.Id })) },
    can('operate') && { label: t('images.tag.go'), icon: 'pin', run: () => tag(image) },
    can('operate') && { label: t('images.push'), icon: 'upload', run: () => setDialog({ kind: 'push', image }) },
    can('operate') && { label: t('images.save'), icon: 'download', run: () => save(image) },
    can('operate') && { label: t('action.remove'), icon: 'remove', danger: true, run: () => remove(image) }];
  const columns = [
    { key: 'name', label: t('name'), sort: true, render: (i) => html`<a class="strong cut" href=${link('/images/' + encodeURIComponent(i.Id), query)}>${visible(i.name)}</a>${(i.RepoTags?.length ?? 0) > 1 ? html` <span class="tag">+${i.RepoTags.length - 1}</span>` : ''}` },
    { key: 'Id', label: t('images.id'), width: 130, min: 640, render: (i) => html`<code>${shortId(i.Id)}</code>` },
    { key: 'Size', label: t('size'), width: 96, align: /** @type {'end'} */ ('end'), sort: true, render: (i) => bytes(i.Size) },
    { key: 'Created', label: t('created'), width: 100, align: /** @type {'end'} */ ('end'), sort: true, min: 760, render: (i) => age(Date.now() / 1000 - i.Created), title: (i) => dateTime(i.Created * 1000) },
    { key: 'layers', label: t('images.tags'), width: 200, off: true, render: (i) => html`<span class="cut">${(i.RepoTags ?? []).map(visible).join(', ') || '–'}</span>` },
    { key: 'Containers', label: t('images.digest'), width: 180, off: true, render: (i) => html`<code class="cut">${visible(i.RepoDigests?.[0]?.split('@')[1] ?? '–')}</code>` },
    { key: 'users', label: t('images.users'), width: 110, align: /** @type {'end'} */ ('end'), min: 560, render: (i) => users(i).length || '–' },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (i) => can('operate') && html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${items(i)} />` },
  ];
  const chosen = id ? all.find((i) => i.Id === id || i.RepoTags?.includes(id)) : null;
  return html`<div class=${'view' + (over ? ' drop-over' : '')} onDragOver=${(e) => { if (can('operate') && e.dataTransfer?.types.includes('Files')) { e.preventDefault(); setOver(true); } }} onDragLeave=${() => setOver(false)}
    onDrop=${dropped}>
    <${Head} title=${t('nav.images')} sub=${live.data ? t('images.count', { n: all.length }) : ''}>
      <${Columns} name="images" columns=${columns} />
      ${can('operate') && html`<${Menu} quiet=${false} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('images.load'), icon: 'upload', run: () => file.current.click() }, { label: t('prune'), icon: 'remove', danger: true, run: prune }]} />
        <button type="button" onClick=${() => setDialog({ kind: 'build' })}><${Icon} name="build" /><span class="words">${t('build.go')}</span></button><input ref=${file} type="file" hidden accept=".tar,.gz,.tgz,.zst" aria-label=${t('images.load')} onChange=${(e) => { if (e.target.files[0]) load(e.target.files[0]); e.target.value = ''; }} />
        <button type="button" class="primary" onClick=${() => setDialog({ kind: 'pull' })}><${Icon} name="download" /><span class="words">${t('images.pull')}</span></button>`}</${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('images.search')} onChange=${(q) => setQuery({ q })} /><span class="quiet-text">${can('operate') ? t('images.drop') : ''}</span></${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    ${live.data && !all.length ? html`<${Empty} title=${t('images.none')} text=${can('operate') ? t('images.none.text') : ''} />` : html`<${Table} name="images" label=${t('nav.images')} columns=${columns} rows=${rows} rowKey=${(i) => i.Id} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} active=${chosen?.Id ?? undefined}
      onActive=${(i) => go(link('/images/' + encodeURIComponent(i.Id), query), { replace: true })} onOpen=${(i) => can('operate') && openView('/containers/new', { image: i.RepoTags?.[0] ?? i.Id })} />`}
    ${chosen && html`<${Detail} key=${chosen.Id} image=${chosen} all=${all} users=${users(chosen)} items=${items(chosen)} onClose=${() => go(link('/images', query), { replace: true })} />`}
    ${dialog?.kind === 'pull' && html`<${Pull} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === 'push' && html`<${Push} image=${dialog.image} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === 'build' && html`<${Build} items=${dialog.items} onClose=${() => setDialog(null)} />`}
  </div>`;
}
