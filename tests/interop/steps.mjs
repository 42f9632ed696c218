// What the scripts for Node.js share: steps with names, and a tab of a browser.

/** Runs steps one after the other and prints `ok NAME`, or `not ok NAME` with what the server answered last. */
export class Steps {
  failed = false;
  last = [];
  /** Another fetch that notes what was answered. */
  noting(fetch) {
    return async (url, options) => {
      const answer = await fetch(url, options);
      const body = await answer.clone().text();
      const headers = ['www-authenticate', 'dpop-nonce', 'location'].filter((name) => answer.headers.get(name));
      const lines = headers.map((name) => `${name}: ${answer.headers.get(name)}`);
      this.note(`${options?.method ?? 'GET'} ${url}\n${answer.status} ${lines.join('\n')}\n${body}`);
      return answer;
    };
  }
  note(text) {
    this.last.push(text);
    if (this.last.length > 3) this.last.shift();
  }
  async run(name, step) {
    this.last = [];
    try {
      await step();
      console.log(`ok ${name}`);
    } catch (error) {
      this.failed = true;
      const cause = error.cause ? `\n${JSON.stringify(error.cause)}` : '';
      const text = `${error.stack}${cause}\n-- answers --\n${this.last.join('\n')}`;
      console.log(`not ok ${name}\n${text.replace(/^/gm, '  ')}`);
    }
  }
  end() {
    process.exitCode = this.failed ? 1 : 0;
  }
}

const unescape = (text) =>
  text.replaceAll('&#x2f;', '/').replaceAll('&#x3d;', '=').replaceAll('&quot;', '"').replaceAll('&amp;', '&');

/** The first attribute of this name in the first form of a page. */
const attribute = (html, name) => {
  const form = html.slice(html.indexOf('<form'));
  const found = form.match(new RegExp(`${name}="([^"]*)"`));
  if (!html.includes('<form') || !found) throw new Error(`no form with ${name}: ${html}`);
  return unescape(found[1]);
};

/** A tab of a browser without scripts: cookies, forms, redirects. */
export class Tab {
  cookies = new Map();
  constructor(issuer, request, steps) {
    Object.assign(this, { issuer: new URL(issuer), request, steps });
  }
  async send(url, method = 'GET', headers = {}, body = undefined) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    if (cookie) headers.cookie = cookie;
    const answer = await this.request(url, { method, headers, body });
    const text = await answer.body.text();
    this.steps.note(`${method} ${url}\n${answer.statusCode} ${answer.headers.location ?? ''}\n${text}`);
    for (const line of [answer.headers['set-cookie'] ?? []].flat()) {
      const [name, value] = line.split(';')[0].split('=');
      if (line.includes('Max-Age=0')) this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return { url: new URL(url), status: answer.statusCode, location: answer.headers.location, text };
  }
  open(url) {
    return this.send(url, 'GET', { 'sec-fetch-site': 'cross-site' });
  }
  submit(page, fields) {
    const headers = {
      'content-type': 'application/x-www-form-urlencoded', origin: this.issuer.origin, 'sec-fetch-site': 'same-origin',
    };
    const body = new URLSearchParams({ flow: attribute(page.text, 'value'), ...fields }).toString();
    return this.send(new URL(attribute(page.text, 'action'), page.url), 'POST', headers, body);
  }
  /** Logs in and allows, as far as that is asked for, and gives the URL of the client that the browser is sent to; or the
   * last page, where it is sent nowhere. */
  async allow(url, [username, password], decision = 'allow') {
    let page = await this.open(url);
    for (let pages = 0; pages < 8; pages += 1) {
      if (page.status === 303) {
        const to = new URL(page.location, page.url);
        if (to.origin !== this.issuer.origin) return to;
        page = await this.open(to);
      } else if (page.text.includes('name="password"')) {
        page = await this.submit(page, { username, password });
      } else if (page.text.includes('name="user_code"')) {
        page = await this.submit(page, { user_code: page.text.match(/name="user_code"[^>]*value="([^"]*)"/)[1] });
      } else if (page.text.includes('name="decision"')) {
        page = await this.submit(page, { decision });
      } else {
        return page;
      }
    }
    throw new Error('the pages have no end');
  }
}
