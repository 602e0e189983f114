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
})();
