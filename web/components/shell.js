/* shell.js - what stands around every view: navigation, the head, the palette. */
import { html, useEffect, useMemo, useRef, useState } from '../app/html.js';
import { useStore, createStore } from '../app/store.js';
import { t, age } from '../app/i18n.js';
import { skew } from '../app/api.js';
import { session, can, signOut } from '../app/session.js';
import { connection } from '../app/live.js';
import { useContainers } from '../app/sources.js';
import { actionItems } from '../app/actions.js';
import { go, link, useLocation } from '../app/router.js';
import { commands, useCommands } from '../app/keys.js';
import { fold, visible } from '../app/text.js';
import { changeSettings, settings } from '../app/settings.js';
import { sentence, useNews } from '../app/notices.js';
import { Dialog, Menu, toast } from './overlay.js';
import { JobDialog, JobsButton } from './jobs.js';
import { Icon } from './icons.js';
import { WallGlyph } from './wall.js';

/** @type {[string, string, string, string?][]} view, path, keys, permission */
const places = [
  ['overview', '/', 'g o'], ['containers', '/containers', 'g c'], ['compare', '/compare', 'g m'], ['host', '/host', 'g h'],
  ['images', '/images', 'g i'], ['volumes', '/volumes', 'g v'], ['networks', '/networks', 'g n'], ['events', '/events', 'g e'], ['notifications', '/notifications', 'g t'],
  ['audit', '/audit', 'g a', 'admin'], ['users', '/users', 'g u'], ['settings', '/settings', 'g s'], ['about', '/about', 'g b'],
];
const allowed = () => places.filter(([, , , permission]) => !permission || can(/** @type {any} */ (permission)));

const paletteOpen = createStore(false);
const helpOpen = createStore(false);

export function Shell({ view, children }) {
  const { user, role } = useStore(session);
  const [drawer, setDrawer] = useState(false);
  const here = useLocation();
  const showPalette = useStore(paletteOpen);
  const showHelp = useStore(helpOpen);
  const section = view === 'container' || view === 'create' ? 'containers' : view;
  useEffect(() => setDrawer(false), [here.path]);
  useCommands([
    { keys: 'Ctrl-k', label: t('palette.open'), run: () => paletteOpen.set(true) },
    { keys: '?', label: t('keys.title'), run: () => helpOpen.set(true) },
    { keys: '/', label: t('keys.search'), run: () => /** @type {HTMLElement} */ (document.querySelector('[data-search]'))?.focus() },
    ...allowed().map(([name, path, keys]) => ({ keys, label: t('nav.' + name), group: 'go', run: () => go(link(path)) })),
    ...(can('operate') ? [{ keys: 'c', label: t('create.title'), run: () => go(link('/containers/new')) }] : []),
    { label: t('palette.dark'), run: () => changeSettings({ theme: 'dark' }) },
    { label: t('palette.light'), run: () => changeSettings({ theme: 'light' }) },
    { label: t('palette.contrast'), run: () => changeSettings({ contrast: settings.get().contrast === 'more' ? 'system' : 'more' }) },
    { label: t('palette.english'), run: () => changeSettings({ language: 'en' }) },
    { label: t('palette.spanish'), run: () => changeSettings({ language: 'es' }) },
    { label: t('signOut'), run: () => signOut() },
  ]);

  return html`<div class=${'shell' + (drawer ? ' drawer-open' : '')}>
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main')?.focus(); }}>${t('skip')}</a>
    <aside class="side">
      <div class="brand"><svg width="24" height="24" viewBox="0 0 32 32" aria-hidden="true"><path class="brand-line" d="M3 16h26"/><circle class="brand-dot" cx="5" cy="16" r="4"/><circle class="brand-dot" cx="27" cy="16" r="4"/><path class="brand-brick" d="M12 2h8v6h-8zM12 9.500h8v5.500h-8zM12 17h8v5.500h-8zM12 24h8v6h-8z"/></svg><span>Tabique</span>
        <button type="button" class="quiet icon-only drawer-close" aria-label=${t('nav.close')} onClick=${() => setDrawer(false)}><${Icon} name="close" /></button></div>
      <nav aria-label=${t('nav.label')}>${allowed().map(([name, path]) => html`<a key=${name} href=${link(path)} aria-current=${section === name ? 'page' : undefined}><${Icon} name=${name} /><span>${t('nav.' + name)}</span></a>`)}</nav>
      <${Skew} /><${Connection} />
    </aside>
    <div class="scrim" onClick=${() => setDrawer(false)}></div>
    <div class="page">
      <header class="top">
        <button type="button" class="quiet icon-only drawer-button" aria-label=${t('nav.open')} onClick=${() => setDrawer(true)}><${Icon} name="menu" /></button>
        <button type="button" class="palette-button" onClick=${() => paletteOpen.set(true)}><${Icon} name="search" /><span>${t('palette.prompt')}</span><kbd>Ctrl K</kbd></button>
        <span class="grow"></span><${JobsButton} /><${Bell} />
        <button type="button" class="quiet icon-only help-button" aria-label=${t('keys.title')} title=${t('keys.title')} onClick=${() => helpOpen.set(true)}><kbd>?</kbd></button>
        <${Menu} title=${t('account.menu')} label=${html`<${Icon} name="users" />`} items=${[
          { label: user + ' · ' + t('role.' + role), run: () => go(link('/users/me')), icon: 'key' },
          { label: t('nav.settings'), run: () => go(link('/settings')), icon: 'settings' },
          { label: t('signOut'), run: () => signOut(), icon: 'out' }]} />
      </header>
      <main id="main" tabindex="-1">${children}</main>
    </div>
    ${showPalette && html`<${Palette} onClose=${() => paletteOpen.set(false)} />`}
    <${JobDialog} />
    ${showHelp && html`<${KeyHelp} onClose=${() => helpOpen.set(false)} />`}
  </div>`;
}

/** How many are new; what comes while one looks is said once. */
function Bell() {
  const { data } = useNews();
  const last = useRef(/** @type {number|null} */ (null));
  const count = data?.unacknowledged ?? 0;
  useEffect(() => {
    if (!data) return;
    const list = data.notifications, newest = list[0]?.id ?? 0;
    const fresh = last.current === null ? [] : list.filter((n) => n.id > last.current);
    last.current = Math.max(newest, last.current ?? 0);
    if (fresh.length) toast(fresh.length === 1 ? sentence(fresh[0]) : t('notify.count', { n: fresh.length }), { life: 9000, action: { label: t('events.detail'), run: () => go(link('/notifications')) } });
  }, [data]);
  const label = t('nav.notifications') + (count ? ': ' + t('notify.count', { n: count }) : '');
  return html`<a class="button quiet icon-only bell" href=${link('/notifications')} aria-label=${label} title=${label}><${Icon} name="notifications" />${count > 0 && html`<span class="bell-count" aria-hidden="true">${count > 99 ? '99+' : count}</span>`}</a>`;
}

function Connection() {
  const { ok, live } = useStore(connection);
  return html`<div class=${'connection ' + (ok ? 'good' : 'bad')} role="status">
    <span class="lamp" aria-hidden="true"></span>${ok ? (live ? t('connection.live') : t('connection.ok')) : t('connection.lost')}</div>`;
}

/** Times are the server's; who compares them with a watch must know. */
function Skew() {
  const off = useStore(skew);
  return off ? html`<p class="skew" role="status"><${Icon} name="clock" /> <span>${t(off > 0 ? 'skew.ahead' : 'skew.behind', { by: age(Math.abs(off) / 1000) })} ${t('skew.text')}</span></p>` : null;
}

function KeyHelp({ onClose }) {
  const list = /** @type {import('../app/keys.js').Command[]} */ (useStore(commands)).filter((command) => command.keys);
  const fixed = [['j / ↓', t('keys.down')], ['k / ↑', t('keys.up')], ['Enter', t('keys.open')], ['x', t('keys.select')], ['Esc', t('keys.leave')]];
  return html`<${Dialog} title=${t('keys.title')} onClose=${onClose}>
    <dl class="key-list">${list.map((command) => html`<div key=${command.keys}><dt><kbd>${command.keys.replace('Ctrl-', 'Ctrl ').replace(/ k$/, ' K')}</kbd></dt><dd>${command.label}</dd></div>`)}
      ${fixed.map(([key, text]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${text}</dd></div>`)}</dl></${Dialog}>`;
}

/** Everything by its name: views, containers, commands. */
function Palette({ onClose }) {
  const [text, setText] = useState('');
  const [at, setAt] = useState(0);
  const list = useRef(/** @type {HTMLElement} */ (null));
  const all = /** @type {import('../app/keys.js').Command[]} */ (useStore(commands));
  const { data } = useContainers();
  const items = useMemo(() => {
    const wanted = fold(text.trim()).split(/\s+/).filter(Boolean);
    const containers = (data?.containers ?? []).flatMap((c) => [
      { key: 'c' + c.id, label: visible(c.name), hint: t('wall.' + c.isolation) + ' · ' + t('state.' + c.state), icon: html`<${WallGlyph} isolation=${c.isolation} />`, run: () => go(link('/containers/' + encodeURIComponent(c.name))), words: c.name + ' ' + c.image + ' ' + c.isolation },
      { key: 'm' + c.id, label: t('palette.compare', { name: visible(c.name) }), hint: '', icon: html`<${Icon} name="compare" />`, run: () => go(link('/compare/' + encodeURIComponent(c.name))), words: t('nav.compare') + ' ' + c.name },
    ]);
    const others = all.filter((c) => c.keys !== 'Ctrl-k').map((c, i) => ({ key: 'k' + i + c.label, label: c.label, hint: c.keys ?? '', icon: html`<${Icon} name=${c.group === 'go' ? 'right' : 'check'} />`, run: c.run, words: c.label }));
    /* "logs web", "stop web": only for those that a word names. */
    const named = wanted.length > 1 ? (data?.containers ?? []).filter((c) => wanted.some((word) => word.length > 1 && fold(c.name).includes(word))).slice(0, 20) : [];
    const deeds = named.flatMap((c) => [
      ...['processes', 'charts', 'logs', 'terminal', 'files', 'events', 'setup', 'inspect'].map((tab) => ({ key: tab + c.id, label: t('palette.tab', { tab: t('tab.' + tab), name: visible(c.name) }), hint: '', icon: html`<${Icon} name="right" />`, run: () => go(link(`/containers/${encodeURIComponent(c.name)}/${tab}`)), words: t('tab.' + tab) + ' ' + c.name })),
      ...actionItems(c).map((item) => ({ key: item.label + c.id, label: t('palette.do', { action: item.label, name: visible(c.name) }), hint: '', icon: html`<${Icon} name=${item.icon} />`, run: item.run, words: item.label + ' ' + c.name }))]);
    const find = text.trim() && [
      { key: 'past', label: t('palette.past', { text: text.trim() }), hint: t('events.lives'), icon: html`<${Icon} name="clock" />`, run: () => go(link('/events', { view: 'lives', q: text.trim() })), words: text },
      { key: 'host', label: t('palette.host', { text: text.trim() }), hint: t('nav.host'), icon: html`<${Icon} name="host" />`, run: () => go(link('/host', { q: text.trim() })), words: text }];
    const pick = (item) => wanted.every((word) => fold(item.words).includes(word));
    return [...(wanted.length ? containers.filter(pick) : []), ...deeds.filter(pick), ...others.filter(pick), ...(wanted.length ? [] : containers.slice(0, 20))].slice(0, 60).concat(find || []);
  }, [text, all, data]);
  const chosen = Math.min(at, items.length - 1);
  useEffect(() => { list.current?.children[chosen]?.scrollIntoView({ block: 'nearest' }); }, [chosen]);
  const run = (item) => { onClose(); item?.run(); };
  return html`<${Dialog} title=${t('palette.open')} onClose=${onClose}>
    <div class="palette" onKeyDown=${(event) => {
      if (event.key === 'ArrowDown') setAt((chosen + 1) % items.length);
      else if (event.key === 'ArrowUp') setAt((chosen - 1 + items.length) % items.length);
      else if (event.key === 'Enter') run(items[chosen]);
      else return;
      event.preventDefault();
    }}>
      <input type="text" role="combobox" aria-expanded="true" aria-controls="palette-list" aria-label=${t('palette.prompt')} placeholder=${t('palette.prompt')} autofocus spellcheck=${false}
        aria-activedescendant=${items.length ? 'palette-' + chosen : undefined} value=${text} onInput=${(event) => { setText(event.target.value); setAt(0); }} />
      <ul id="palette-list" role="listbox" aria-label=${t('palette.open')} ref=${list}>${items.map((item, i) => html`<li key=${item.key} id=${'palette-' + i} role="option" aria-selected=${i === chosen ? 'true' : 'false'} onClick=${() => run(item)} onMouseMove=${() => setAt(i)}>${item.icon}<span>${item.label}</span><small>${item.hint}</small></li>`)}</ul>
      ${items.length === 0 && html`<p class="quiet-text">${t('palette.none')}</p>`}
    </div></${Dialog}>`;
}
