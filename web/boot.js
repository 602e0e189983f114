/* Before the first paint: the theme and language that were chosen, so that
 * nothing flashes. A classic script on purpose; modules run too late for it. */
(function () {
  var root = document.documentElement;
  try {
    var settings = JSON.parse(localStorage.getItem('tabique.settings') || '{}');
    if (settings.theme === 'light' || settings.theme === 'dark') root.dataset.theme = settings.theme;
    if (settings.contrast === 'more') root.dataset.contrast = 'more';
    if (settings.density === 'roomy') root.dataset.density = 'roomy';
    if (settings.language === 'en' || settings.language === 'es') root.lang = settings.language;
  } catch (error) {
    /* Storage is refused or damaged: the defaults do. */
  }
  /* Who is signed in, and what the first view shows of it to somebody who was, is asked while the modules are still on
   * their way; api.js takes the answers. */
  var asked = window.tabiqueAsked = {}, paths = ['session'];
  try {
    if (localStorage.getItem('tabique.signed-in')) paths = /^\/ui\/?$/.test(location.pathname) ? ['session', 'containers', 'info', 'host'] : ['session', 'containers'];
  } catch (error) {
    /* Without storage nobody knows. */
  }
  paths.forEach(function (name) {
    asked['/api/v1/' + name] = fetch('/api/v1/' + name, { headers: { Accept: 'application/json' }, credentials: 'same-origin', cache: 'no-store' }).catch(function () { return null; });
  });
  /* A script that did not come leaves an empty page: once more, then, but not for ever. */
  addEventListener('error', function (event) {
    var element = event.target;
    if (!element || element.tagName !== 'SCRIPT') return;
    try {
      var last = Number(sessionStorage.getItem('tabique.reloaded') || 0);
      if (Date.now() - last < 15000) return;
      sessionStorage.setItem('tabique.reloaded', String(Date.now()));
      setTimeout(function () { location.reload(); }, 500);
    } catch (error) {
      /* Without storage nobody could stop it. */
    }
  }, true);
})();
