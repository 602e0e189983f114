/* login.js - signing in, again after a session ended, and the first password. */
import { html, useEffect, useRef, useState } from '../app/html.js';
import { t, languages, language } from '../app/i18n.js';
import { useStore } from '../app/store.js';
import { session, signIn, changePassword, resumeSession, signOut } from '../app/session.js';
import { changeSettings } from '../app/settings.js';
import { Dialog } from '../components/overlay.js';
import { Select } from '../components/bits.js';

/** A browser heeds autofocus once a page: the second form must ask for itself. */
function useFocus(wanted = true) {
  const field = useRef(/** @type {HTMLInputElement} */ (null));
  useEffect(() => { if (wanted) field.current?.focus(); }, []);
  return field;
}

function Fields({ onDone = undefined }) {
  const [user, setUser] = useState(session.get().user);
  const [password, setPassword] = useState('');
  const [error, setError] = useState('');
  const [busy, setBusy] = useState(false);
  const first = useFocus();
  const submit = async (event) => {
    event.preventDefault();
    setBusy(true);
    setError('');
    try {
      await signIn(user.trim(), password);
      onDone?.();
    } catch (problem) {
      setError(problem.status === 0 ? problem.message : problem.status === 429 ? t('login.wait') : problem.status === 401 || problem.status === 403 ? t('login.wrong') : problem.message);
      setPassword('');
      setBusy(false);
    }
  };
  return html`<form onSubmit=${submit}>
    <label class="field"><span>${t('login.user')}</span><input name="user" autocomplete="username" autocapitalize="none" spellcheck=${false} required ref=${session.get().user ? undefined : first} value=${user} onInput=${(e) => setUser(e.target.value)} /></label>
    <label class="field"><span>${t('login.password')}</span><input name="password" type="password" autocomplete="current-password" required ref=${session.get().user ? first : undefined} value=${password} onInput=${(e) => setPassword(e.target.value)} aria-describedby="login-error" /></label>
    <p id="login-error" class="form-error" role="alert">${error}</p>
    <button type="submit" class="primary block" disabled=${busy}>${t('login.go')}</button>
  </form>`;
}

function Gate({ children }) {
  const now = useStore(language);
  return html`<main class="gate"><div class="gate-card">
    <div class="gate-brand"><svg width="40" height="40" viewBox="0 0 32 32" aria-hidden="true"><path class="brand-line" d="M3 16h26"/><circle class="brand-dot" cx="5" cy="16" r="4"/><circle class="brand-dot" cx="27" cy="16" r="4"/><path class="brand-brick" d="M12 2h8v6h-8zM12 9.500h8v5.500h-8zM12 17h8v5.500h-8zM12 24h8v6h-8z"/></svg><div><strong>Tabique</strong><span>${t('brand.line')}</span></div></div>
    ${children}
    <div class="gate-foot"><${Select} label=${t('settings.language')} value=${now} options=${Object.entries(languages)} onChange=${(value) => changeSettings({ language: value })} /></div>
  </div></main>`;
}

export function Login() {
  return html`<${Gate}><h1>${t('login.title')}</h1><${Fields} /><p class="quiet-text">${t('login.first')}</p></${Gate}>`;
}

export function Expired() {
  return html`<${Dialog} title=${t('login.again')} onClose=${undefined}><p>${t('login.expired')}</p><${Fields} /></${Dialog}>`;
}

export function Offline() {
  return html`<${Gate}><h1>${t('offline.title')}</h1><p>${t('offline.text')}</p><button type="button" class="primary" onClick=${() => resumeSession()}>${t('retry')}</button></${Gate}>`;
}

/** @param {{forced?: boolean, onDone?: () => void}} props */
export function PasswordForm({ forced = false, onDone = undefined }) {
  const [old, setOld] = useState('');
  const [first, setFirst] = useState('');
  const [second, setSecond] = useState('');
  const [error, setError] = useState('');
  const field = useFocus(forced);
  const submit = async (event) => {
    event.preventDefault();
    if (first !== second) return setError(t('password.differ'));
    if (first.length < 10) return setError(t('password.short', { n: 10 }));
    try {
      await changePassword(old, first);
      onDone?.();
    } catch (problem) {
      setError(problem.message);
    }
  };
  return html`<form onSubmit=${submit}>
    <input type="text" name="user" autocomplete="username" value=${session.get().user} hidden readonly />
    <label class="field"><span>${t('password.old')}</span><input name="old" type="password" autocomplete="current-password" required ref=${field} value=${old} onInput=${(e) => setOld(e.target.value)} /></label>
    <label class="field"><span>${t('password.new')}</span><input name="new" type="password" autocomplete="new-password" minlength="10" required value=${first} onInput=${(e) => setFirst(e.target.value)} /><small>${t('password.short', { n: 10 })}</small></label>
    <label class="field"><span>${t('password.repeat')}</span><input name="repeat" type="password" autocomplete="new-password" required value=${second} onInput=${(e) => setSecond(e.target.value)} /></label>
    <p class="form-error" role="alert">${error}</p>
    <button type="submit" class="primary block">${t('password.change')}</button>
  </form>`;
}

export function FirstPassword() {
  return html`<${Gate}><h1>${t('password.title')}</h1><p>${t('password.first')}</p><${PasswordForm} forced=${true} />
    <button type="button" class="quiet" onClick=${() => signOut()}>${t('signOut')}</button></${Gate}>`;
}
