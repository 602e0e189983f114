/* settings.js - how the console looks to who uses it; kept in this browser. */
import { html } from '../app/html.js';
import { t, languages, number, dateTime } from '../app/i18n.js';
import { settings, changeSettings } from '../app/settings.js';
import { useStore } from '../app/store.js';
import { Choice, Head, Toggle } from '../components/bits.js';

export default function Settings() {
  const s = useStore(settings);
  const row = (label, text, control) => html`<div class="setting"><div><h2>${label}</h2><p class="quiet-text">${text}</p></div>${control}</div>`;
  return html`<div class="view scroll"><${Head} title=${t('nav.settings')} /><div class="narrow card">
    ${row(t('settings.language'), t('settings.language.text', { example: number(1234.5, 1), date: dateTime(Date.now()) }), html`<${Choice} label=${t('settings.language')} value=${s.language} onChange=${(language) => changeSettings({ language })} options=${[['', t('settings.browser')], ...Object.entries(languages)]} />`)}
    ${row(t('settings.theme'), t('settings.theme.text'), html`<${Choice} label=${t('settings.theme')} value=${s.theme} onChange=${(theme) => changeSettings({ theme })} options=${[['system', t('settings.system')], ['light', t('settings.light')], ['dark', t('settings.dark')]]} />`)}
    ${row(t('settings.contrast'), t('settings.contrast.text'), html`<${Choice} label=${t('settings.contrast')} value=${s.contrast} onChange=${(contrast) => changeSettings({ contrast })} options=${[['system', t('settings.system')], ['more', t('settings.more')]]} />`)}
    ${row(t('settings.density'), t('settings.density.text'), html`<${Choice} label=${t('settings.density')} value=${s.density} onChange=${(density) => changeSettings({ density })} options=${[['dense', t('settings.dense')], ['roomy', t('settings.roomy')]]} />`)}
    ${row(t('host.kernel'), t('settings.kernel.text'), html`<${Toggle} checked=${s.kernelThreads} onChange=${(kernelThreads) => changeSettings({ kernelThreads })}><span class="hidden">${t('host.kernel')}</span></${Toggle}>`)}
  </div></div>`;
}
