// openid-client (npm) against the authorization server: the certified relying party of the Node.js world. It refuses plain
// http, unknown content types, and whatever the specifications do not say.
//
// Environment: SETTING (JSON, made by the test), CA (PEM file), MODULES (folder with node_modules).
import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Steps, Tab } from './steps.mjs';

const { SETTING, CA, MODULES } = process.env;
const load = (path) => import(pathToFileURL(join(MODULES, 'node_modules', path)));
const oidc = await load('openid-client/build/index.js');
const { Agent, fetch, request } = await load('undici/index.js');

const setting = JSON.parse(SETTING);
const { issuer, api, admin, subscriber, clients, callback, bye } = setting;
const steps = new Steps();
const ca = readFileSync(CA);

/** A fetch over connections that show this certificate. */
const over = ({ cert, key } = {}) => {
  const dispatcher = new Agent({ connect: { ca, cert, key } });
  return steps.noting((url, options) => fetch(url, { ...options, dispatcher }));
};
const plain = over();
const tab = () => new Tab(issuer, (url, options) => request(url, { ...options, dispatcher: new Agent({ connect: { ca } }) }), steps);

/** The library, set up for one of our clients. */
async function client(name, auth, metadata = {}, algorithm = 'oidc') {
  const { id, secret, cert, key } = clients[name];
  const config = await oidc.discovery(new URL(issuer), id, { client_secret: secret, ...metadata }, auth, {
    [oidc.customFetch]: cert ? over({ cert, key }) : plain,
    algorithm,
  });
  // The signature of ID tokens, too: by itself the library trusts TLS for those that it fetched.
  if (algorithm === 'oidc') oidc.enableNonRepudiationChecks(config);
  return config;
}
const importKey = (jwk, algorithm) => crypto.subtle.importKey('jwk', jwk, algorithm, true, ['sign']);
const P256 = { name: 'ECDSA', namedCurve: 'P-256' };
const keyOf = async (name) => ({ key: await importKey(clients[name].jwk, P256), kid: clients[name].jwk.kid });

/** Code and PKCE as the library does it: `how` makes the URL, somebody logs in and allows, the library reads the answer. */
async function code(config, { parameters = {}, how = oidc.buildAuthorizationUrl, browser = tab(), user = admin, DPoP, token = {} } = {}) {
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [oidc.randomState(), oidc.randomNonce()];
  const asked = {
    redirect_uri: callback, scope: 'openid profile pets:write', state: expectedState, nonce: expectedNonce,
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier), code_challenge_method: 'S256', ...parameters,
  };
  const url = await how(config, asked, DPoP && { DPoP });
  const back = await browser.allow(url, user);
  assert(back instanceof URL, `the browser is not sent back: ${JSON.stringify(back)}`);
  const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true };
  return oidc.authorizationCodeGrant(config, back, checks, token, DPoP && { DPoP });
}
const pushed = oidc.buildAuthorizationUrlWithPAR;
const call = (config, token, options, method = 'GET', path = '/pets') =>
  oidc.fetchProtectedResource(config, token, new URL(api + path), method, undefined, undefined, options);
/** The OAuth error that something ends with. */
async function refused(promise) {
  const error = await promise.then(() => assert.fail('it was not refused'), (error) => error);
  if (error instanceof assert.AssertionError) throw error;
  if (error.error) return error.error;
  // Where there is a challenge the library looks no further.
  const told = error.response && (await error.response.json().catch(() => undefined));
  return told?.error ?? error.code ?? String(error);
}
const eventually = async (what, holds) => {
  for (const end = Date.now() + 60_000; !(await holds()); await new Promise((go) => setTimeout(go, 50))) {
    assert(Date.now() < end, what);
  }
};
/** Status of a call at the gateway, whatever it is: the library throws where there is a challenge. */
const statusOf = async (...asked) => {
  try {
    return (await call(...asked)).status;
  } catch (error) {
    if (error.status) return error.status;
    throw error;
  }
};

await steps.run('discovery', async () => {
  const found = (await client('basic')).serverMetadata();
  assert.equal(found.issuer, issuer);
  assert.equal(found.supportsPKCE(), true);
  const oauth = (await client('basic', undefined, {}, 'oauth2')).serverMetadata();
  assert.equal(oauth.token_endpoint, found.token_endpoint);
});

await steps.run('client_credentials, client_secret_basic', async () => {
  const config = await client('basic', oidc.ClientSecretBasic(clients.basic.secret));
  const answer = await oidc.clientCredentialsGrant(config, { scope: 'pets:write' });
  assert.equal(answer.token_type, 'bearer');
  assert.equal(answer.scope, 'pets:write');
  assert.equal((await call(config, answer.access_token)).status, 200);
});

await steps.run('client_credentials, client_secret_post', async () => {
  const config = await client('post', oidc.ClientSecretPost(clients.post.secret));
  assert.equal((await oidc.clientCredentialsGrant(config)).token_type, 'bearer');
});

await steps.run('client_credentials, private_key_jwt', async () => {
  const config = await client('keyed', oidc.PrivateKeyJwt(await keyOf('keyed')));
  assert.equal((await oidc.clientCredentialsGrant(config)).token_type, 'bearer');
});

await steps.run('a wrong secret is refused', async () => {
  const config = await client('basic', oidc.ClientSecretBasic('wrong'));
  assert.equal(await refused(oidc.clientCredentialsGrant(config)), 'invalid_client');
});

const basic = await client('basic', oidc.ClientSecretBasic(clients.basic.secret));
const browser = tab();
let tokens;
await steps.run('code and PKCE', async () => {
  tokens = await code(basic, { browser });
  const claims = tokens.claims();
  assert.equal(claims.aud, clients.basic.id);
  assert.equal(claims.acr, 'urn:tollway:acr:password');
  assert.deepEqual(tokens.scope.split(' ').sort(), ['openid', 'pets:write', 'profile']);
  assert.equal((await call(basic, tokens.access_token, undefined, 'POST')).status, 200);
});

await steps.run('the answer names its issuer', async () => {
  const back = new URL(`${callback}?code=x&state=s&iss=https%3A%2F%2Fother.example`);
  assert.match(await refused(oidc.authorizationCodeGrant(basic, back, { expectedState: 's' })), /OAUTH_INVALID_RESPONSE/);
});

await steps.run('userinfo', async () => {
  const user = await oidc.fetchUserInfo(basic, tokens.access_token, tokens.claims().sub);
  assert.equal(user.preferred_username, admin[0]);
});

await steps.run('refresh', async () => {
  const fresh = await oidc.refreshTokenGrant(basic, tokens.refresh_token);
  assert.notEqual(fresh.refresh_token, tokens.refresh_token, 'it rotates');
  assert.equal(fresh.claims().sub, tokens.claims().sub);
  const narrow = await oidc.refreshTokenGrant(basic, fresh.refresh_token, { scope: 'pets:write' });
  assert.equal(narrow.scope, 'pets:write');
  assert.equal(await refused(oidc.refreshTokenGrant(basic, narrow.refresh_token, { scope: 'other' })), 'invalid_scope');
  tokens = { ...fresh, refresh_token: narrow.refresh_token, claims: () => fresh.claims() };
});

await steps.run('introspection', async () => {
  const told = await oidc.tokenIntrospection(basic, tokens.access_token);
  assert.equal(told.active, true);
  assert.equal(told.sub, tokens.claims().sub);
  assert.equal(told.client_id, clients.basic.id);
  const other = await client('post', oidc.ClientSecretPost(clients.post.secret));
  assert.deepEqual(await oidc.tokenIntrospection(other, tokens.access_token), { active: false });
});

await steps.run('no page when none is wanted', async () => {
  const silent = await code(basic, { browser, parameters: { prompt: 'none' } });
  assert.equal(silent.claims().sub, tokens.claims().sub);
  const back = await tab().allow(oidc.buildAuthorizationUrl(basic, {
    redirect_uri: callback, scope: 'openid', prompt: 'none', state: 's', nonce: 'n', code_challenge_method: 'S256',
    code_challenge: await oidc.calculatePKCECodeChallenge(oidc.randomPKCECodeVerifier()),
  }), admin);
  assert.equal(await refused(oidc.authorizationCodeGrant(basic, back, { expectedState: 's' })), 'login_required');
});

await steps.run('max_age and signature of other algorithms', async () => {
  const config = await client('eddsa', oidc.ClientSecretBasic(clients.eddsa.secret), { id_token_signed_response_alg: 'EdDSA' });
  const got = await code(config, { parameters: { max_age: '600' } });
  assert(got.claims().auth_time > Date.now() / 1000 - 600);
  assert.equal(JSON.parse(atob(got.id_token.split('.')[0])).alg, 'EdDSA');
});

await steps.run('revocation of an access token', async () => {
  const { access_token } = await oidc.clientCredentialsGrant(basic, { scope: 'pets:write' });
  assert.equal(await statusOf(basic, access_token), 200);
  await oidc.tokenRevocation(basic, access_token, { token_type_hint: 'access_token' });
  assert.equal((await oidc.tokenIntrospection(basic, access_token)).active, false);
  assert.equal(await statusOf(basic, access_token), 401, 'every node has it when the answer comes');
});

await steps.run('revocation of a refresh token', async () => {
  const got = await code(basic, { browser });
  assert.equal(await statusOf(basic, got.access_token), 200);
  await oidc.tokenRevocation(basic, got.refresh_token, { token_type_hint: 'refresh_token' });
  assert.equal(await refused(oidc.refreshTokenGrant(basic, got.refresh_token)), 'invalid_grant');
  assert.equal(await statusOf(basic, got.access_token), 401, 'it takes its access tokens along');
  assert.equal(await statusOf(basic, tokens.access_token), 200, 'and no others');
});

await steps.run('device', async () => {
  const begun = await oidc.initiateDeviceAuthorization(basic, { scope: 'openid pets:write' });
  const poll = oidc.pollDeviceAuthorizationGrant(basic, { ...begun, interval: 1 });
  const page = await tab().allow(begun.verification_uri_complete, subscriber);
  assert.equal(page.status, 200);
  const got = await poll;
  assert(got.refresh_token);
  assert.equal(await statusOf(basic, got.access_token), 200);
});

await steps.run('device, denied', async () => {
  const begun = await oidc.initiateDeviceAuthorization(basic, { scope: 'pets:write' });
  await tab().allow(begun.verification_uri_complete, subscriber, 'deny');
  assert.equal(await refused(oidc.pollDeviceAuthorizationGrant(basic, { ...begun, interval: 1 })), 'access_denied');
});

await steps.run('PAR', async () => {
  const got = await code(basic, { how: pushed });
  assert.equal(await statusOf(basic, got.access_token), 200);
});

await steps.run('PAR, private_key_jwt', async () => {
  const config = await client('keyed', oidc.PrivateKeyJwt(await keyOf('keyed')));
  const got = await code(config, { how: pushed });
  const fresh = await oidc.refreshTokenGrant(config, got.refresh_token);
  assert.equal((await oidc.tokenIntrospection(config, fresh.access_token)).active, true);
  await oidc.tokenRevocation(config, fresh.access_token);
  // RFC 9126 §2: the endpoint itself is an audience, too.
  for (const aud of ['token_endpoint', 'pushed_authorization_request_endpoint']) {
    const named = { [oidc.modifyAssertion]: (_, claims) => (claims.aud = config.serverMetadata()[aud]) };
    const asked = { redirect_uri: callback, code_challenge_method: 'S256', code_challenge: await oidc.calculatePKCECodeChallenge('x') };
    const url = await pushed(await client('keyed', oidc.PrivateKeyJwt(await keyOf('keyed'), named)), { ...asked, scope: 'pets:write' });
    assert.match(url.searchParams.get('request_uri'), /^urn:ietf:params:oauth:request_uri:/);
  }
});

await steps.run('a client that has to push', async () => {
  const config = await client('pushing', oidc.PrivateKeyJwt(await keyOf('pushing')));
  const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair());
  const back = await tab().allow(oidc.buildAuthorizationUrl(config, {
    redirect_uri: callback, scope: 'openid', state: 's', code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
    code_challenge_method: 'S256',
  }), admin);
  assert.equal(await refused(oidc.authorizationCodeGrant(config, back, { expectedState: 's' })), 'invalid_request');
  assert.equal((await code(config, { how: pushed, DPoP })).token_type, 'dpop');
});

await steps.run('DPoP', async () => {
  const DPoP = oidc.getDPoPHandle(basic, await oidc.randomDPoPKeyPair());
  const got = await code(basic, { DPoP });
  assert.equal(got.token_type, 'dpop');
  assert.equal((await call(basic, got.access_token, { DPoP })).status, 200);
  assert.equal(await statusOf(basic, got.access_token), 401, 'not as a bearer token');
  const user = await oidc.fetchUserInfo(basic, got.access_token, got.claims().sub, { DPoP });
  assert.equal(user.sub, got.claims().sub);
  assert.equal((await oidc.refreshTokenGrant(basic, got.refresh_token, undefined, { DPoP })).token_type, 'dpop');
  const own = await oidc.clientCredentialsGrant(basic, { scope: 'pets:write' }, { DPoP });
  assert.equal((await call(basic, own.access_token, { DPoP }, 'POST')).status, 200);
  const told = await oidc.tokenIntrospection(basic, own.access_token);
  assert.equal(told.cnf.jkt, await DPoP.calculateThumbprint());
});

await steps.run('DPoP with other keys', async () => {
  for (const alg of ['Ed25519', 'PS256', 'RS256']) {
    const DPoP = oidc.getDPoPHandle(basic, await oidc.randomDPoPKeyPair(alg));
    const got = await oidc.clientCredentialsGrant(basic, { scope: 'pets:write' }, { DPoP });
    assert.equal((await call(basic, got.access_token, { DPoP })).status, 200, alg);
  }
});

await steps.run('a public client', async () => {
  const config = await client('public', oidc.None());
  const got = await code(config);
  const fresh = await oidc.refreshTokenGrant(config, got.refresh_token);
  assert.notEqual(fresh.refresh_token, got.refresh_token);
  await code(config, { how: pushed });
  await oidc.tokenRevocation(config, fresh.refresh_token);
  assert.equal(await refused(oidc.refreshTokenGrant(config, fresh.refresh_token)), 'invalid_grant');
  assert.equal(await statusOf(config, fresh.access_token), 401);
});

await steps.run('a public client with DPoP', async () => {
  const config = await client('public', oidc.None());
  const [DPoP, other] = [
    oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair()),
    oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair()),
  ];
  const dpop_jkt = await DPoP.calculateThumbprint();
  // The code is bound by a parameter, and by the proof of the push (RFC 9449 §10).
  const got = await code(config, { parameters: { dpop_jkt }, DPoP });
  assert.equal(await refused(oidc.refreshTokenGrant(config, got.refresh_token)), 'invalid_grant');
  assert.equal(await refused(oidc.refreshTokenGrant(config, got.refresh_token, undefined, { DPoP: other })), 'invalid_grant');
  const fresh = await oidc.refreshTokenGrant(config, got.refresh_token, undefined, { DPoP });
  assert.equal((await call(config, fresh.access_token, { DPoP })).status, 200);
  await code(config, { how: pushed, DPoP });
  const thief = code(config, { how: (config, asked) => pushed(config, asked, { DPoP }), DPoP: other });
  assert.equal(await refused(thief), 'invalid_grant', 'the push has bound the code');
  const lie = pushed(config, { redirect_uri: callback, dpop_jkt, code_challenge: 'x' }, { DPoP: other });
  assert.equal(await refused(lie), 'invalid_dpop_proof');
});

await steps.run('an opaque token', async () => {
  const config = await client('opaque', oidc.ClientSecretBasic(clients.opaque.secret));
  const got = await code(config);
  assert.match(got.access_token, /^twa_/);
  assert.equal((await oidc.fetchUserInfo(config, got.access_token, got.claims().sub)).preferred_username, admin[0]);
  assert.equal((await oidc.tokenIntrospection(config, got.access_token)).username, admin[0]);
  assert.equal(await statusOf(config, got.access_token), 200);
  const DPoP = oidc.getDPoPHandle(config, await oidc.randomDPoPKeyPair());
  const bound = await code(config, { DPoP });
  assert.match(bound.access_token, /^twa_/);
  assert.equal((await oidc.fetchUserInfo(config, bound.access_token, got.claims().sub, { DPoP })).sub, got.claims().sub);
  assert.equal((await call(config, bound.access_token, { DPoP })).status, 200);
  await oidc.tokenRevocation(config, got.refresh_token);
  await eventually('the opaque token ends', async () => (await statusOf(config, got.access_token)) === 401);
});

await steps.run('resource indicators', async () => {
  const own = await oidc.clientCredentialsGrant(basic, { resource: api });
  const told = await oidc.tokenIntrospection(basic, own.access_token);
  assert.deepEqual([told.aud].flat(), [setting.audience]);
  const got = await code(basic, { parameters: { resource: api }, token: { resource: api } });
  assert.deepEqual([(await oidc.tokenIntrospection(basic, got.access_token)).aud].flat(), [setting.audience]);
  assert.equal(await statusOf(basic, got.access_token), 200);
  const other = oidc.clientCredentialsGrant(basic, { resource: 'https://other.example/' });
  assert.equal(await refused(other), 'invalid_target');
});

await steps.run('token exchange', async () => {
  const config = await client('exchanger', oidc.ClientSecretBasic(clients.exchanger.secret));
  const got = await oidc.genericGrantRequest(config, 'urn:ietf:params:oauth:grant-type:token-exchange', {
    subject_token: tokens.access_token, subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
  });
  assert.equal(got.issued_token_type, 'urn:ietf:params:oauth:token-type:access_token');
  const told = await oidc.tokenIntrospection(config, got.access_token);
  assert.equal(told.sub, tokens.claims().sub);
  assert.equal(told.act.client_id, clients.exchanger.id);
});

/** What holds of clients that prove themselves by a certificate. */
async function certified(name) {
  const config = await client(name, oidc.TlsClientAuth(), { use_mtls_endpoint_aliases: true });
  const aliases = config.serverMetadata().mtls_endpoint_aliases;
  assert(aliases.token_endpoint.startsWith(setting.alias), 'another address than the issuer');
  const own = await oidc.clientCredentialsGrant(config, { scope: 'pets:write' });
  assert.equal((await oidc.tokenIntrospection(config, own.access_token)).cnf['x5t#S256'], clients[name].x5t);
  const begun = await oidc.initiateDeviceAuthorization(config, { scope: 'pets:write' });
  assert(begun.user_code);
  const got = await code(config, { how: pushed });
  assert.equal((await oidc.fetchUserInfo(config, got.access_token, got.claims().sub)).sub, got.claims().sub);
  const fresh = await oidc.refreshTokenGrant(config, got.refresh_token);
  await oidc.tokenRevocation(config, fresh.access_token);
  assert.equal((await oidc.tokenIntrospection(config, fresh.access_token)).active, false);
  // Nobody else has the certificate.
  const { id } = clients[name];
  for (const shown of [undefined, clients.stranger]) {
    const thief = await oidc.discovery(new URL(issuer), id, { use_mtls_endpoint_aliases: true }, oidc.TlsClientAuth(), {
      [oidc.customFetch]: over(shown),
    });
    assert.equal(await refused(oidc.clientCredentialsGrant(thief)), 'invalid_client');
    const answer = await over(shown)(aliases.userinfo_endpoint, { headers: { authorization: `Bearer ${got.access_token}` } });
    assert.equal(answer.status, 401);
    assert.match(answer.headers.get('www-authenticate'), /^Bearer .*invalid_token/);
  }
}
await steps.run('tls_client_auth and bound tokens', () => certified('tls'));
await steps.run('self_signed_tls_client_auth and bound tokens', () => certified('own'));

await steps.run('dynamic registration', async () => {
  const metadata = {
    redirect_uris: [callback], client_name: 'registered', grant_types: ['authorization_code', 'refresh_token'],
    // What the library uses when it is told nothing else.
    token_endpoint_auth_method: 'client_secret_post',
  };
  const config = await oidc.dynamicClientRegistration(new URL(issuer), metadata, undefined, {
    initialAccessToken: setting.registration, [oidc.customFetch]: plain,
  });
  const got = await code(config, { parameters: { scope: 'openid' } });
  assert.equal(got.claims().aud, config.clientMetadata().client_id);
  assert.equal(await statusOf(config, got.access_token), 403, 'no access without a subscription');
});

await steps.run('RP-initiated logout', async () => {
  const offline = await code(basic, { browser, parameters: { scope: 'openid pets:write offline_access', prompt: 'consent' } });
  const session = await code(basic, { browser });
  const url = oidc.buildEndSessionUrl(basic, { id_token_hint: session.id_token, post_logout_redirect_uri: bye, state: 'later' });
  const back = await browser.allow(url, admin);
  assert.equal(String(back), `${bye}?state=later`);
  assert.equal((await oidc.tokenIntrospection(basic, session.access_token)).active, false);
  assert.equal(await statusOf(basic, session.access_token), 401);
  assert.equal(await refused(oidc.refreshTokenGrant(basic, session.refresh_token)), 'invalid_grant');
  assert((await oidc.refreshTokenGrant(basic, offline.refresh_token)).access_token, 'offline access stays');
  assert.equal(await refused(code(basic, { browser, parameters: { prompt: 'none' } })), 'login_required');
});

steps.end();
