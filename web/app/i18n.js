/* i18n.js - texts, numbers, dates. English is always at hand: whatever a
 * language lacks is said in English rather than not at all. */
import en from '../locales/en.js';
import { createStore } from './store.js';

/** @type {Record<string, () => Promise<{default: Record<string, any>}>>} */
const loaders = { en: async () => ({ default: en }), es: () => import('../locales/es.js') };
export const languages = { en: 'English', es: 'Español' };
export const language = createStore('en');

let texts = /** @type {Record<string, any>} */ (en);
let plurals = new Intl.PluralRules('en');
let locale = 'en';
const numberFormats = new Map();

export function chosenLanguage(setting, wanted = globalThis.navigator?.languages ?? ['en']) {
  if (setting && loaders[setting]) return setting;
  for (const tag of wanted) {
    const short = tag.toLowerCase().split('-')[0];
    if (loaders[short]) return short;
  }
  return 'en';
}

export async function setLanguage(setting) {
  const name = chosenLanguage(setting);
  texts = (await loaders[name]()).default;
  /* The region matters to numbers and dates, as long as the language agrees. */
  locale = (globalThis.navigator?.languages ?? []).find((tag) => tag.toLowerCase().startsWith(name)) ?? name;
  plurals = new Intl.PluralRules(locale);
  numberFormats.clear();
  if (globalThis.document) document.documentElement.lang = name;
  language.set(name);
}

/** @param {string} key @param {Record<string, any>} [values] */
export function t(key, values) {
  let text = texts[key] ?? /** @type {Record<string, any>} */ (en)[key];
  if (text === undefined) return key;
  if (typeof text === 'object') text = text[plurals.select(Number(values?.n ?? 0))] ?? text.other;
  if (!values) return text;
  return text.replace(/\{(\w+)\}/g, (whole, name) => {
    const value = values[name];
    return value === undefined ? whole : typeof value === 'number' ? number(value) : String(value);
  });
}
export function has(key) {
  return key in en;
}

function formatter(options) {
  const key = JSON.stringify(options);
  if (!numberFormats.has(key)) numberFormats.set(key, new Intl.NumberFormat(locale, options));
  return numberFormats.get(key);
}
function dates(options) {
  const key = 'd' + JSON.stringify(options);
  if (!numberFormats.has(key)) numberFormats.set(key, new Intl.DateTimeFormat(locale, options));
  return numberFormats.get(key);
}

export const number = (value, digits = 0) =>
  formatter({ maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
export const percent = (value) => (value == null ? '–' : number(value, value < 10 ? 1 : 0) + ' %');

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
export function bytes(value) {
  if (value == null || !Number.isFinite(value)) return '–';
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) { value /= 1024; unit++; }
  return number(value, unit === 0 || value >= 100 ? 0 : 1) + ' ' + units[unit];
}
export const rate = (value) => (value == null ? '–' : bytes(value) + '/s');

/** Short age: "12 s", "3 min", "2 h 05", "4 d". @param {number} seconds */
export function age(seconds) {
  if (seconds == null || !Number.isFinite(seconds)) return '–';
  seconds = Math.max(0, Math.floor(seconds));
  if (seconds < 60) return seconds + ' s';
  if (seconds < 3600) return Math.floor(seconds / 60) + ' min';
  if (seconds < 86400) return Math.floor(seconds / 3600) + ' h ' + String(Math.floor((seconds % 3600) / 60)).padStart(2, '0');
  return Math.floor(seconds / 86400) + ' d';
}
export const clock = (time) => dates({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(new Date(time));
export const dateTime = (time) =>
  time == null ? '–' : dates({ year: new Date(time).getFullYear() === new Date().getFullYear() ? undefined : 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }).format(new Date(time));
export const shortDate = (time) => (time == null ? '–' : dates({ month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }).format(new Date(time)));
/** What a datetime-local field wants: the browser's own time without a zone. */
export const localInput = (iso) => { const d = new Date(iso || NaN); return Number.isNaN(d.getTime()) ? '' : new Date(d.getTime() - d.getTimezoneOffset() * 60000).toISOString().slice(0, 19); };
