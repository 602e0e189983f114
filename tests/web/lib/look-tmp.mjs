import { Console } from '/work/main/tests/web/lib/console.mjs';
import fs from 'node:fs';
const out = '/tmp/shots'; fs.mkdirSync(out, { recursive: true });
const only = process.argv[2] ? process.argv[2].split(',') : null;
const modes = (process.argv[3] ?? 'light').split(',');
const c = await Console.start();
try {
  const s = c.server;
  await s.ok('run', '-d', '--name', 'pinger', 'tabique/base', 'ping', 'localhost');
  await s.ok('run', '-d', '--name', 'shop', '-e', 'COLOUR=red', 'tabique/base', 'sh', '-c', 'echo "info: hello"; echo "error: no luck" >&2; while true; do sleep 2; ls / >/dev/null; echo tick; done');
  await s.docker('run', '--name', 'failed', 'tabique/base', 'sh', '-c', 'exit 3');
  const vm = await s.docker('run', '-d', '--isolation=hyperv', '--name', 'vault', 'tabique/base', 'ping', 'localhost');
  console.log('vm', vm.code, vm.stderr.slice(0, 200));
  for (let i = 0; i < 6; i++) await s.docker('create', '--name', 'batch-' + i, 'tabique/base', 'true');
  const sizes = { light: {}, dark: { colorScheme: 'dark' }, phone: { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }, es: { locale: 'es-ES' } };
  for (const mode of modes) {
    const context = await c.context(sizes[mode]);
    const page = await context.newPage();
    if (!c.changed) { await page.goto(c.origin + '/ui/'); await page.waitForTimeout(600); await page.screenshot({ path: `${out}/login-${mode}.png` }); }
    await c.signIn(page);
    const views = { overview: '/', containers: '/containers', create: '/containers/new', summary: '/containers/shop', processes: '/containers/shop/processes', charts: '/containers/shop/charts', logs: '/containers/shop/logs', files: '/containers/shop/files', cevents: '/containers/shop/events', inspect: '/containers/shop/inspect', terminal: '/containers/shop/terminal', compare: '/compare/pinger', comparehost: '/compare/pinger?others=shown', comparevm: '/compare/vault', comparetwo: '/compare/pinger?with=shop', search: '/compare/pinger?q=chrom&others=shown', host: '/host', images: '/images', volumes: '/volumes', networks: '/networks', events: '/events', lives: '/events?view=lives', audit: '/audit', users: '/users', me: '/users/me', tokens: '/users/tokens', sessions: '/users/sessions', settings: '/settings', about: '/about' };
    for (const [name, path] of Object.entries(views)) {
      if (only && !only.includes(name) && only[0] !== 'all') continue;
      await page.goto(c.origin + '/ui' + path);
      await page.waitForTimeout(name === 'charts' ? 3000 : 1500);
      if (name.startsWith('compare')) { await page.click('.pane.container tbody tr:not(.space)').catch(() => {}); await page.waitForTimeout(200); }
      await page.screenshot({ path: `${out}/${name}-${mode}.png` });
    }
    await context.close();
  }
  console.log(c.problems.join('\n'));
} catch (e) { console.log(e); console.log(c.server?.log.slice(-3000)); } finally { await c.stop(); }
