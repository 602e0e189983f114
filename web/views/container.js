/* container.js - one container: its head, its actions, and the tabs below. */
import { html, useEffect, useState } from '../app/html.js';
import { t } from '../app/i18n.js';
import { docker, tabique, DOCKER } from '../app/api.js';
import { useLive, refreshAll } from '../app/live.js';
import { useContainers, useInfo } from '../app/sources.js';
import { go, link } from '../app/router.js';
import { can } from '../app/session.js';
import { visible, imageName, shortId, nameAndTag } from '../app/text.js';
import { act, actionItems, actions } from '../app/actions.js';
import { useCommands } from '../app/keys.js';
import { CopyButton, Empty, Head, Problem, Tabs, copyText } from '../components/bits.js';
import { Menu, attempt, confirm } from '../components/overlay.js';
import { StateBadge, WallBadge } from '../components/wall.js';
import { Icon } from '../components/icons.js';

const tabs = {
  '': () => import('./container/summary.js'),
  processes: () => import('./container/processes.js'),
  charts: () => import('./container/charts.js'),
  logs: () => import('./container/logs.js'),
  terminal: () => import('./container/terminal.js'),
  files: () => import('./container/files.js'),
  events: () => import('./container/events.js'),
  setup: () => import('./container/setup.js'),
  inspect: () => import('./container/inspect.js'),
};

export default function Container({ id, tab = '', query }) {
  const list = useContainers();
  const c = list.data?.containers.find((one) => one.name === id || one.id === id || (id.length >= 12 && one.id.startsWith(id)));
  const info = useInfo();
  const inspect = useLive(c ? ['inspect', c.id, c.state] : null, () => docker.inspect(c.id), { interval: 10000 });
  const [pages, setPages] = useState(/** @type {Record<string, any>} */ ({}));
  const allowed = (name) => (name !== 'logs' || can('logs')) && (name !== 'terminal' || can('exec')) && (name !== 'files' || can('operate'));
  const known = tab in tabs && allowed(tab);
  useEffect(() => { if (known && !pages[tab]) tabs[tab]().then((module) => setPages((old) => ({ ...old, [tab]: module.default }))); }, [tab]);
  const path = '/containers/' + encodeURIComponent(id);
  useCommands([
    { keys: 'm', label: t('nav.compare'), run: () => go(link('/compare/' + encodeURIComponent(id))) },
    ...(c && can('operate') ? [['s', 'start'], ['S', 'stop'], ['r', 'restart']].filter(([, name]) => actions[name].when?.(c) ?? true).map(([keys, name]) => ({ keys, label: t('action.' + name), run: () => { act(name, [c]); } })) : []),
    ...Object.keys(tabs).filter(allowed).map((name, i) => ({ keys: String(i + 1), label: t('tab.' + (name || 'summary')), run: () => go(link(name ? path + '/' + name : path)) })),
  ]);
  if (!c) return list.data
    ? html`<div class="view"><${Head} title=${visible(id)} back="/containers" /><${Empty} title=${t('container.gone')} text=${t('container.gone.text')}><a class="button" href=${link('/events', { view: 'lives', q: '' })}>${t('events.lives')}</a></${Empty}></div>`
    : html`<div class="view"><${Head} title=${visible(id)} back="/containers" /><${Problem} error=${list.error} /></div>`;

  const rename = async () => {
    const answer = await confirm({ title: t('rename.title', { name: visible(c.name) }), action: t('rename.go'), field: { label: t('name'), value: c.name } });
    if (answer && answer.value && answer.value !== c.name) attempt(() => docker.rename(c.id, answer.value).then(() => { refreshAll('containers'); go(link('/containers/' + encodeURIComponent(answer.value)), { replace: true }); }), t('rename.done'));
  };
  const otherWall = c.isolation === 'hyperv' ? 'process' : 'hyperv';
  const changeWall = async () => {
    const running = c.state === 'running' || c.state === 'paused';
    if (await confirm({ title: t('wallChange.title', { name: visible(c.name), wall: t('wall.' + otherWall) }), text: t('wall.' + otherWall + '.gives') + ' ' + (running ? t('wallChange.restart') : ''), action: t('wallChange.go') }))
      attempt(() => tabique.isolation(c.id, otherWall, running).then(() => refreshAll('')), t('wallChange.done'));
  };
  const commit = async () => {
    const answer = await confirm({ title: t('commit.title', { name: visible(c.name) }), action: t('commit.go'), field: { label: t('images.newName'), value: '', hint: 'repository:tag' } });
    if (!answer || !answer.value) return;
    const [repo, tag] = nameAndTag(answer.value.trim());
    attempt(() => docker.commit(c.id, repo, tag || 'latest').then(() => refreshAll('images')), t('commit.done', { name: answer.value }));
  };
  const wall = info.data?.walls?.find((w) => w.name === otherWall);
  const Page = pages[tab];
  const main = c.state === 'running' || c.state === 'paused' ? 'stop' : 'start';
  return html`<div class="view container-view">
    <${Head} title=${visible(c.name)} back="/containers" sub=${html`<span class="sub-line"><${WallBadge} isolation=${c.isolation} /><${StateBadge} state=${c.state} health=${c.health} exitCode=${c.exitCode} /><span class="quiet-text cut">${imageName(c.image)}</span><span class="wide-words"><code>${shortId(c.id)}</code><${CopyButton} text=${c.id} label=${t('copy.id')} /></span></span>`}>
      <a class="button primary" href=${link('/compare/' + encodeURIComponent(c.name))}><${Icon} name="compare" /><span class="words">${t('nav.compare')}</span></a>
      ${can('operate') && html`<button type="button" aria-label=${t('action.' + main)} onClick=${() => act(main, [c])}><${Icon} name=${actions[main].icon} /><span class="words">${t('action.' + main)}</span></button>`}
      <${Menu} quiet=${false} title=${t('more')} label=${html`<${Icon} name="more" />`} items=${[
        ...actionItems(c, ['restart', 'pause', 'unpause', 'kill']),
        can('operate') && { label: t('rename.go'), icon: 'pin', run: rename },
        can('operate') && { label: t('wallChange.menu', { wall: t('wall.' + otherWall) }), icon: 'compare', disabled: wall && !wall.available, run: changeWall },
        can('operate') && { label: t('commit.go'), icon: 'images', run: commit },
        can('operate') && { label: t('setup.another'), icon: 'plus', run: () => go(link('/containers/new', { from: c.name })) },
        can('operate') && { label: t('container.export'), icon: 'download', run: () => { const a = document.createElement('a'); a.href = `${DOCKER}/containers/${c.id}/export`; a.download = c.name + '.tar'; a.click(); } },
        { label: t('compare.link'), icon: 'link', run: () => copyText(globalThis.location.href) },
        ...actionItems(c, ['remove'])]} />
    </${Head}>
    ${c.error && html`<p class="problem" role="alert"><${Icon} name="warn" /> ${visible(c.error)}</p>`}
    <${Tabs} label=${t('container')} base=${path} current=${tab} tabs=${Object.keys(tabs).filter(allowed).map((name) => [name, t('tab.' + (name || 'summary'))])} />
    ${!known ? html`<${Empty} title=${t('missing.title')} />` : Page ? html`<${Page} container=${c} inspect=${inspect.data} query=${query} info=${info.data} key=${c.id} />` : html`<p class="late quiet-text">${t('loading')}</p>`}
  </div>`;
}
