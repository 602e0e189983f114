/* settings.js - what this browser's user prefers; kept in the browser. */
import { createStore } from './store.js';
import { setLanguage } from './i18n.js';

const KEY = 'tabique.settings';
const defaults = { theme: 'system', contrast: 'system', density: 'dense', language: '', kernelThreads: false, screenReader: false, logTimes: true, logWrap: false, columns: /** @type {Record<string, Record<string, boolean>>} */ ({}) };

function read() {
  try { return { ...defaults, ...JSON.parse(localStorage.getItem(KEY) || '{}') }; } catch { return { ...defaults }; }
}

export const settings = createStore(read());

export function applySettings() {
  const { theme, contrast, density } = settings.get();
  const root = document.documentElement;
  if (theme === 'light' || theme === 'dark') root.dataset.theme = theme; else delete root.dataset.theme;
  if (contrast === 'more') root.dataset.contrast = 'more'; else delete root.dataset.contrast;
  if (density === 'roomy') root.dataset.density = 'roomy'; else delete root.dataset.density;
}

export function changeSettings(patch) {
  settings.set((old) => ({ ...old, ...patch }));
  try { localStorage.setItem(KEY, JSON.stringify(settings.get())); } catch { /* for this page only, then */ }
  applySettings();
  if ('language' in patch) setLanguage(patch.language);
}

/* Another tab changed them. */
globalThis.addEventListener?.('storage', (event) => {
  if (event.key !== KEY) return;
  const before = settings.get().language;
  settings.set(read());
  applySettings();
  if (settings.get().language !== before) setLanguage(settings.get().language);
});
