// Walks through the pages of the authorization server as a person would: log in, allow, code, token; connect a device; see
// what was allowed and take it back; log out. The client is another origin than the server. Each page is held against WCAG 2 AA.
// Prints one line of JSON for what the test asks about.
//
// Environment: ISSUER, CLIENT_ID, CLIENT_SECRET, CLIENT_PORT (where the client is to listen), USER, PASSWORD, CHROMIUM,
// MODULES (folder with node_modules), PROFILE (an empty folder); SCRIPTS=off; SHOTS (a folder for pictures) where somebody wants to look.
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const { ISSUER, CLIENT_ID, CLIENT_SECRET, USER, PASSWORD, CHROMIUM, CLIENT_PORT, MODULES, PROFILE, SHOTS } = process.env;
const { chromium } = createRequire(join(MODULES, 'x.js'))('playwright-core');
const basic = 'Basic ' + Buffer.from(`${CLIENT_ID}:${CLIENT_SECRET}`).toString('base64');

/** The client: an application of another origin, whose callback sends the user on to a third one. */
async function listen(handle, port = 0) {
  const server = createServer(handle);
  await new Promise((ready) => server.listen(port, '127.0.0.1', ready));
  return { server, port: server.address().port };
}

async function form(path, fields) {
  const answer = await fetch(ISSUER + path, {
    method: 'POST',
    headers: { authorization: basic, 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams(fields),
  });
  return { status: answer.status, body: await answer.json() };
}

const says = (response, text) => {
  response.setHeader('content-type', 'text/html');
  response.end(`<title>${text}</title><h1>${text}</h1>`);
};
const last = await listen((_request, response) => says(response, 'home'));
const seen = [];
const client = await listen((request, response) => {
  const url = new URL(request.url, 'http://client');
  if (url.pathname !== '/cb') return says(response, 'bye');
  const take = (query) => {
    seen.push(Object.fromEntries(new URLSearchParams(query)));
    response.writeHead(303, { location: `http://127.0.0.1:${last.port}/home` }).end();
  };
  if (request.method !== 'POST') return take(url.search);
  let body = '';
  request.on('data', (part) => (body += part)).on('end', () => take(body));
}, Number(CLIENT_PORT));
const redirect_uri = `http://127.0.0.1:${client.port}/cb`;

const verifier = randomBytes(32).toString('base64url');
const challenge = createHash('sha256').update(verifier).digest('base64url');
const authorize = (more = {}) =>
  `${ISSUER}/oauth2/authorize?` +
  new URLSearchParams({
    response_type: 'code', client_id: CLIENT_ID, redirect_uri, scope: 'openid profile pets:read', state: 'st',
    nonce: 'no', code_challenge: challenge, code_challenge_method: 'S256', ...more,
  });
const redeem = async () => {
  const { code, state, iss } = seen.pop();
  const answer = await form('/oauth2/token', { grant_type: 'authorization_code', code, redirect_uri, code_verifier: verifier });
  return { ...answer, state, iss };
};

const context = await chromium.launchPersistentContext(PROFILE, {
  executablePath: CHROMIUM,
  headless: true,
  javaScriptEnabled: process.env.SCRIPTS !== 'off',
  locale: 'en-GB',
  args: [
    '--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync',
  ],
});
const page = context.pages()[0] ?? (await context.newPage());
const refused = [];
page.on('console', (message) => message.type() === 'error' && refused.push(message.text()));
page.setDefaultTimeout(120_000);
const told = { inaccessible: [] };

/** Holds the page against WCAG 2 AA, which takes scripts, and makes a picture of it where somebody wants to look. */
const sniffer = readFileSync(createRequire(join(MODULES, 'x.js')).resolve('html_codesniffer/build/HTMLCS.js'), 'utf8');
const sniff = (at) => at.evaluate(`${sniffer};
  new Promise((done) => HTMLCS.process('WCAG2AA', document, () => done(HTMLCS.getMessages()
    .filter(({ type }) => type === HTMLCS.ERROR)
    .map(({ code, msg, element }) => [code, msg, element?.outerHTML?.slice(0, 200)].join(' ')))))`);
async function look(name, at = page) {
  if (SHOTS) await at.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true });
  if (process.env.SCRIPTS === 'off') return;
  told.inaccessible.push(...(await sniff(at)).map((text) => `${name}: ${text}`));
}

// Wrong password, right password, consent, across two origins, and on to a third one.
await page.goto(authorize());
await look('login');
await page.fill('#username', USER);
await page.fill('#password', 'wrong');
await page.click('button[type=submit]');
await page.waitForSelector('[role=alert]');
await look('login-wrong');
told.wrong = await page.textContent('[role=alert]');
await page.fill('#password', PASSWORD);
await page.click('button[type=submit]');
await page.waitForSelector('button[value=allow]');
await look('consent');
await page.click('button[value=allow]');
await page.waitForURL(`http://127.0.0.1:${last.port}/home`);
told.code = await redeem();
// The client's page says no language: what holds pages against WCAG has to find that.
told.sniffs = process.env.SCRIPTS === 'off' || (await sniff(page)).some((text) => text.includes('H57'));

// The same without a question, and by a form.
await page.goto(authorize({ prompt: 'consent', response_mode: 'form_post' }));
await page.click('button[value=allow]');
if (process.env.SCRIPTS === 'off') await page.click('form[action^="http://127.0.0.1"] button');
await page.waitForURL(`http://127.0.0.1:${last.port}/home`);
told.form_post = (await redeem()).status;

await page.goto(authorize({ prompt: 'select_account', ui_locales: 'de' }));
await look('account-de');

// A device.
const device = (await form('/oauth2/device_authorization', { scope: 'pets:read' })).body;
const poll = () => form('/oauth2/token', {
  grant_type: 'urn:ietf:params:oauth:grant-type:device_code', device_code: device.device_code,
});
told.pending = (await poll()).body.error;
await page.goto(device.verification_uri_complete);
await look('device');
told.filled_in = await page.inputValue('#user_code');
await page.click('button[type=submit]');
await page.waitForSelector('button[value=allow]');
await look('device-confirm');
told.shown = await page.textContent('p.code');
await page.click('button[value=allow]');
await page.waitForSelector('h1:has-text("Device connected")');
await look('device-done');
told.device = await poll();

// Errors stay here.
await page.goto(authorize({ redirect_uri: 'https://evil.example/' }));
await look('error');
told.error = { url: page.url().startsWith(ISSUER), title: await page.title() };

// Other looks.
const narrow = await context.newPage();
narrow.setDefaultTimeout(20_000);
await narrow.setViewportSize({ width: 320, height: 640 });
for (const lang of ['zh', 'de']) {
  await narrow.goto(authorize({ prompt: 'login', ui_locales: lang }));
  await look(`login-narrow-${lang}`, narrow);
  await narrow.goto(authorize({ prompt: 'consent', ui_locales: lang }));
  await look(`consent-narrow-${lang}`, narrow);
  await narrow.goto(`${ISSUER}/account?ui_locales=${lang}`);
  await look(`own-narrow-${lang}`, narrow);
}
await narrow.emulateMedia({ colorScheme: 'dark' });
await narrow.goto(authorize({ prompt: 'login' }));
await look('login-dark', narrow);
await narrow.goto(authorize({ prompt: 'consent' }));
await look('consent-dark', narrow);
await narrow.goto(`${ISSUER}/account`);
await look('own-dark', narrow);
await narrow.close();

// By keyboard alone: the first field has the focus, Enter sends the form.
await page.goto(authorize({ prompt: 'login', login_hint: USER }));
told.focus = await page.evaluate(() => document.activeElement?.id).catch(() => 'no scripts');
await page.focus('#password');
await page.keyboard.type(PASSWORD);
await page.keyboard.press('Enter');
await page.waitForURL(`http://127.0.0.1:${last.port}/home`);
const tokens = await redeem();
told.again = tokens.status;

// One's own sessions and consents: the page lists both, and what was allowed is taken back.
await page.goto(`${ISSUER}/account`);
await look('own');
const own = async (what) => page.locator(`button[value^="${what}:"]`).count();
told.own = { sessions: await own('session'), this: await page.locator('.mark').count(), consents: await own('consent') };
await page.click('button[value^="consent:"]');
await page.waitForURL(`${ISSUER}/account`);
told.own.withdrawn = await own('consent');
await look('own-withdrawn');

// Log out: with a question, without one, and back to the client.
await page.goto(`${ISSUER}/oauth2/logout?client_id=${CLIENT_ID}`);
await look('logout');
await page.click('button[value=deny]');
await page.waitForSelector('h1:has-text("Still logged in")');
const bye = new URLSearchParams({
  id_token_hint: tokens.body.id_token, post_logout_redirect_uri: `http://127.0.0.1:${client.port}/bye`, state: 'x',
});
await page.goto(`${ISSUER}/oauth2/logout?${bye}`);
told.bye = page.url();
await page.goto(authorize());
told.logged_out = (await page.$('#password')) !== null;
// Nobody needs an icon.
told.violations = refused.filter((text) => /Content Security Policy/i.test(text) && !/favicon/.test(text));

await context.close();
client.server.close();
last.server.close();
console.log(JSON.stringify(told));
