/* wall.js - the two isolations, told apart by form and by word: a thin line that
 * one sees through, and a thick wall of bricks. */
import { html } from '../app/html.js';
import { t } from '../app/i18n.js';

export const isThick = (isolation) => isolation === 'hyperv';

export function WallGlyph({ isolation, size = 16 }) {
  return isThick(isolation)
    ? html`<svg class="wall-glyph thick" width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true">
        <path class="brick" d="M3 1h6v3.200H3zM10 1h3v3.200h-3zM3 5.100h3v3.200H3zM7 5.100h6v3.200H7zM3 9.200h6v3.200H3zM10 9.200h3v3.200h-3zM3 13.300h3V15H3zM7 13.300h6V15H7z"/></svg>`
    : html`<svg class="wall-glyph thin" width=${size} height=${size} viewBox="0 0 16 16" aria-hidden="true">
        <path class="line" d="M8 1v14"/><path class="through" d="M2 8h12"/><path class="dot" d="M.9 8a1.6 1.6 0 1 0 3.2 0a1.6 1.6 0 1 0-3.2 0M11.9 8a1.6 1.6 0 1 0 3.2 0a1.6 1.6 0 1 0-3.2 0"/></svg>`;
}

export function WallBadge({ isolation, word = true }) {
  const name = isThick(isolation) ? 'hyperv' : 'process';
  return html`<span class=${'wall-badge ' + name} role=${word ? undefined : 'img'} aria-label=${word ? undefined : t('wall.' + name)} title=${t('wall.' + name + '.title')}><${WallGlyph} isolation=${isolation} />${word && t('wall.' + name)}</span>`;
}

export function StateBadge({ state, health = '', exitCode = /** @type {number|undefined} */ (undefined) }) {
  const kind = state === 'running' ? (health === 'unhealthy' ? 'bad' : 'good') : state === 'paused' ? 'wait' :
    state === 'restarting' || state === 'removing' ? 'wait' : state === 'dead' || (state === 'exited' && exitCode) ? 'bad' : 'idle';
  const shape = { good: 'M4 1.500v9l7-4.500z', wait: 'M3 2h2.200v8H3zM6.800 2H9v8H6.800z', bad: 'M2.500 2.500l7 7M9.500 2.500l-7 7', idle: 'M2.500 2.500h7v7h-7z' }[kind];
  return html`<span class=${'state ' + kind}><svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true"><path d=${shape}/></svg>
    ${t('state.' + state) + (state === 'exited' && exitCode !== undefined ? ' (' + exitCode + ')' : '') + (health && health !== 'none' ? ' · ' + t('health.' + health) : '')}</span>`;
}
