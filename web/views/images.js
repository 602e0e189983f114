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
import { useCommands } from '../app/keys.js';
import { carryOut, written } from '../app/many.js';
import { startJob } from '../app/jobs.js';
import { droppedItems, isArchive } from '../app/context.js';
import { Bulk, Empty, Filterbar, Head, Problem, Search, openView, useSelection } from '../components/bits.js';
import { Columns, Table } from '../components/table.js';
import { Menu, attempt, confirm, toast } from '../components/overlay.js';
import { Icon } from '../components/icons.js';
import { Build, Pull, Push } from './images/dialogs.js';
import { Detail } from './images/detail.js';

export const nameOf = (image) => image.RepoTags?.[0] ?? image.RepoDigests?.[0] ?? shortId(image.Id);

const idOf = (image) => image.Id;

/** @type {import('../app/many.js').Kind} */
const kind = {
  name: (image, answer) => answer?.picked || nameOf(image), count: (n) => t('images.count', { n }), topic: 'images',
  actions: {
    remove: {
      icon: 'remove', danger: true,
      question: (list) => {
        const n = list.length, used = list.filter((image) => image.users).length;
        const names = n === 1 ? list[0].RepoTags ?? [] : [];
        return {
          text: !used ? t('images.remove.text') : n === 1 ? t('images.used', { n: list[0].users }) : t('bulk.used', { n: used }),
          pick: names.length > 1 ? { label: t('images.which'), options: [['', t('images.allNames')], ...names.map((name) => [name, visible(name)])] } : undefined,
          type: written(list), choices: used ? [{ key: 'force', label: t('images.force', { n: used }) }] : [],
        };
      },
      /* By its names, so that what others are made from goes on to be theirs; one that is used is refused as a whole. */
      run: async (image, { picked, force }) => {
        const names = image.RepoTags ?? [];
        for (const name of picked ? [picked] : names.length && (names.length === 1 || force || !image.users) ? names : [image.Id]) await docker.imageRemove(name, force);
      },
    },
  },
};

export default function Images({ id = '', query }) {
  const live = useLive('images', docker.images, { interval: 6000 });
  const containers = useContainers();
  const [dialog, setDialog] = useState(/** @type {any} */ (null));
  const [over, setOver] = useState(false);
  const file = useRef(/** @type {HTMLInputElement} */ (null));
  const sort = query.sort ?? 'name';
  const users = (image) => (containers.data?.containers ?? []).filter((c) => c.imageId === image.Id);
  const all = useMemo(() => (live.data ?? []).map((image) => ({ ...image, name: nameOf(image), users: users(image).length })), [live.data, containers.data]);
  const selection = useSelection(all, idOf);
  const chosen = id ? all.find((i) => i.Id === id || i.RepoTags?.includes(id)) : null;
  const acting = selection.chosen.length ? selection.chosen : chosen ? [chosen] : [];
  useCommands(can('operate') ? [{ keys: 'Delete', label: t('action.remove'), run: () => { remove(acting); } }] : []);
  const rows = useMemo(() => {
    const text = fold(query.q ?? '');
    const [key, descending] = sort.startsWith('-') ? [sort.slice(1), true] : [sort, false];
    return all.filter((image) => fold([...(image.RepoTags ?? []), image.Id].join(' ')).includes(text)).sort(by(key, descending));
  }, [all, query.q, sort]);

  const load = (f) => startJob(t('images.loading', { name: visible(f.name) }), (signal) => send('POST', `${DOCKER}/images/load`, { raw: f, type: 'application/x-tar', signal }));
  /* An archive alone is an image; all else is what one builds from. */
  const dropped = async (event) => {
    if (!can('operate')) return;
    event.preventDefault();
    setOver(false);
    const items = await droppedItems(event.dataTransfer);
    if (items.length === 1 && isArchive(items[0].name)) load(items[0].data); else if (items.length) setDialog({ kind: 'build', items });
  };
  const remove = (list) => carryOut(kind, 'remove', list).then((failed) => failed && id && !failed.length && list.some((image) => image.Id === chosen?.Id) && go(link('/images', query), { replace: true }));
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
    can('operate') && { label: t('action.remove'), icon: 'remove', danger: true, run: () => { remove([image]); } }];
  const columns = [
    { key: 'name', label: t('name'), sort: true, render: (i) => html`<a class="strong cut" href=${link('/images/' + encodeURIComponent(i.Id), query)}>${visible(i.name)}</a>${(i.RepoTags?.length ?? 0) > 1 ? html` <span class="tag">+${i.RepoTags.length - 1}</span>` : ''}` },
    { key: 'Id', label: t('images.id'), width: 130, min: 640, render: (i) => html`<code>${shortId(i.Id)}</code>` },
    { key: 'Size', label: t('size'), width: 96, align: /** @type {'end'} */ ('end'), sort: true, render: (i) => bytes(i.Size) },
    { key: 'Created', label: t('created'), width: 100, align: /** @type {'end'} */ ('end'), sort: true, min: 760, render: (i) => age(Date.now() / 1000 - i.Created), title: (i) => dateTime(i.Created * 1000) },
    { key: 'layers', label: t('images.tags'), width: 200, off: true, render: (i) => html`<span class="cut">${(i.RepoTags ?? []).map(visible).join(', ') || '–'}</span>` },
    { key: 'Containers', label: t('images.digest'), width: 180, off: true, render: (i) => html`<code class="cut">${visible(i.RepoDigests?.[0]?.split('@')[1] ?? '–')}</code>` },
    { key: 'users', label: t('images.users'), width: 110, align: /** @type {'end'} */ ('end'), sort: true, min: 560, render: (i) => i.users || '–' },
    { key: 'a', label: t('table.actions'), quiet: true, width: 52, render: (i) => can('operate') && html`<${Menu} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${items(i)} />` },
  ];
  return html`<div class=${'view' + (over ? ' drop-over' : '')} onDragOver=${(e) => { if (can('operate') && e.dataTransfer?.types.includes('Files')) { e.preventDefault(); setOver(true); } }} onDragLeave=${() => setOver(false)}
    onDrop=${dropped}>
    <${Head} title=${t('nav.images')} sub=${live.data ? t('images.count', { n: all.length }) : ''}>
      <${Columns} name="images" columns=${columns} />
      ${can('operate') && html`<${Menu} quiet=${false} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[{ label: t('images.load'), icon: 'upload', run: () => file.current.click() }, { label: t('prune'), icon: 'remove', danger: true, run: prune }]} />
        <button type="button" onClick=${() => setDialog({ kind: 'build' })}><${Icon} name="build" /><span class="words">${t('build.go')}</span></button><input ref=${file} type="file" hidden accept=".tar,.gz,.tgz,.zst" aria-label=${t('images.load')} onChange=${(e) => { if (e.target.files[0]) load(e.target.files[0]); e.target.value = ''; }} />
        <button type="button" class="primary" onClick=${() => setDialog({ kind: 'pull' })}><${Icon} name="download" /><span class="words">${t('images.pull')}</span></button>`}</${Head}>
    <${Filterbar}><${Search} value=${query.q ?? ''} label=${t('images.search')} onChange=${(q) => setQuery({ q })} />${can('operate') && (selection.chosen.length ? html`<${Bulk} kind=${kind} selection=${selection} />` : html`<span class="quiet-text wide-words">${t('images.drop')}</span>`)}</${Filterbar}>
    <${Problem} error=${live.error} stale=${live.stale} />
    ${live.data && !all.length ? html`<${Empty} title=${t('images.none')} text=${can('operate') ? t('images.none.text') : ''} />` : html`<${Table} name="images" label=${t('nav.images')} columns=${columns} rows=${rows} rowKey=${idOf} selected=${can('operate') ? selection.selected : undefined} onSelect=${can('operate') ? selection.select : undefined} sort=${sort} onSort=${(key) => setQuery({ sort: key })} loading=${live.loading} active=${chosen?.Id ?? undefined}
      onActive=${(i) => go(link('/images/' + encodeURIComponent(i.Id), query), { replace: true })} onOpen=${(i) => can('operate') && openView('/containers/new', { image: i.RepoTags?.[0] ?? i.Id })} />`}
    ${chosen && html`<${Detail} key=${chosen.Id} image=${chosen} all=${all} users=${users(chosen)} items=${items(chosen)} onClose=${() => go(link('/images', query), { replace: true })} />`}
    ${dialog?.kind === 'pull' && html`<${Pull} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === 'push' && html`<${Push} image=${dialog.image} onClose=${() => setDialog(null)} />`}
    ${dialog?.kind === 'build' && html`<${Build} items=${dialog.items} onClose=${() => setDialog(null)} />`}
  </div>`;
}
