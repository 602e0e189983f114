/* main.js - from an empty page to the first view. */
import { html, render, useEffect, useState } from './app/html.js';
import { useStore } from './app/store.js';
import { setLanguage, language, t } from './app/i18n.js';
import { session, resumeSession } from './app/session.js';
import { location, startRouter, go, link } from './app/router.js';
import { applySettings, settings } from './app/settings.js';
import { startKeys } from './app/keys.js';
import { startStream } from './app/stream.js';
import { Shell } from './components/shell.js';
import { Overlays } from './components/overlay.js';
import { Empty, Problem } from './components/bits.js';
import { Login, Expired, Offline, FirstPassword } from './views/login.js';

/** @type {Record<string, () => Promise<any>>} */
const views = {
  overview: () => import('./views/overview.js'),
  containers: () => import('./views/containers.js'),
  create: () => import('./views/create.js'),
  container: () => import('./views/container.js'),
  compare: () => import('./views/compare.js'),
  host: () => import('./views/host.js'),
  images: () => import('./views/images.js'),
  volumes: () => import('./views/volumes.js'),
  networks: () => import('./views/networks.js'),
  events: () => import('./views/events.js'),
  notifications: () => import('./views/notifications.js'),
  audit: () => import('./views/audit.js'),
  users: () => import('./views/users.js'),
  settings: () => import('./views/settings.js'),
  about: () => import('./views/about.js'),
};
const loaded = {};

/* A module that did not come (a network that just changed) is asked for again. */
async function fetched(load, left = 3) {
  try { return await load(); } catch (error) {
    if (!left) throw error;
    await new Promise((resolve) => setTimeout(resolve, 400));
    return fetched(load, left - 1);
  }
}

function View({ place }) {
  const [, turn] = useState(0);
  const [error, setError] = useState(/** @type {any} */ (null));
  const name = place.view;
  useEffect(() => {
    if (loaded[name] || !views[name]) return;
    let mine = true;
    fetched(views[name]).then((module) => { loaded[name] = module.default; if (mine) turn((n) => n + 1); }, (problem) => mine && setError(problem));
    return () => { mine = false; };
  }, [name]);
  useEffect(() => {
    document.title = (place.params.id ? place.params.id + ' · ' : '') + t('nav.' + (name === 'missing' ? 'missing' : name)) + ' · Tabique';
  }, [place.path, name]);
  if (name === 'missing') return html`<${Empty} top=${true} title=${t('missing.title')} text=${t('missing.text')}><a class="button" href=${link('/')}>${t('nav.overview')}</a></${Empty}>`;
  if (error) return html`<${Problem} error=${error} />`;
  const Page = loaded[name];
  return Page ? html`<${Page} ...${place.params} key=${name + (place.params.id ?? '')} query=${place.query} />` : html`<p class="late quiet-text">${t('loading')}</p>`;
}

function App() {
  const { state, mustChange } = useStore(session);
  const place = useStore(location);
  useStore(language);
  if (state === 'loading') return null;
  if (state === 'offline') return html`<${Offline} />`;
  if (state === 'out') return html`<${Login} /><${Overlays} />`;
  if (mustChange) return html`<${FirstPassword} /><${Overlays} />`;
  return html`<${Shell} view=${place.view}><${View} place=${place} /></${Shell}>
    ${state === 'expired' && html`<${Expired} />`}<${Overlays} />`;
}

applySettings();
startRouter();
startKeys();
if (!globalThis.location.pathname.startsWith('/ui')) go(link('/'), { replace: true });
/* The view that is asked for is fetched meanwhile. The overview is at hand (index.html preloads it) and stands in the first
 * picture; for another the frame does not wait. Whether one did not come is View's affair, which asks again. */
const wanted = location.get().view;
const module = views[wanted]?.().catch(() => null);
const [, , first] = await Promise.all([fetched(() => setLanguage(settings.get().language)).catch(() => setLanguage('en')), resumeSession(), wanted === 'overview' && module]);
if (first) loaded[wanted] = first.default;
startStream();
render(html`<${App} />`, document.getElementById('app'));
