"""Authlib (PyPI): its client, its readers of metadata and ID tokens, and its validator of access tokens.

Environment: SETTING (JSON, made by the test), REQUESTS_CA_BUNDLE (PEM file), PYTHONPATH (folder with the libraries).
"""

from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from authlib.oidc.core import CodeIDToken
from authlib.oidc.discovery import OpenIDProviderMetadata, get_well_known_url
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

from steps import SETTING, Tab, called, end, note, noting, step

CLIENTS, ADMIN = SETTING["clients"], SETTING["admin"]
ISSUER = SETTING["issuer"]
STATE = {}


def session(name, method, secret=None, **more):
    own = CLIENTS[name]
    metadata = STATE["metadata"]
    made = OAuth2Session(
        own["id"],
        secret or own.get("secret"),
        token_endpoint=metadata["token_endpoint"],
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        redirect_uri=SETTING["callback"],
        scope="openid profile pets:write",
        code_challenge_method="S256",
        **more,
    )
    return noting(made)


def keyed():
    key = ECKey.import_key(CLIENTS["keyed"]["jwk"])
    made = session("keyed", "private_key_jwt", key)
    header = {"kid": CLIENTS["keyed"]["jwk"]["kid"]}
    made.register_client_auth_method(PrivateKeyJWT(alg="ES256", headers=header))
    return made


def id_token(text, own, nonce):
    """The ID token, its signature and its claims validated."""
    keys = KeySet.import_key_set(requests.get(STATE["metadata"]["jwks_uri"]).json())
    read = jwt.decode(text, keys, algorithms=["ES256", "EdDSA", "Ed25519", "RS256"])
    options = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": own["id"]}}
    claims = CodeIDToken(read.claims, read.header, options, {"nonce": nonce, "client_id": own["id"]})
    claims.validate()
    return claims


def code(of, own, tab=None):
    """Code and PKCE as the library does it."""
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = of.create_authorization_url(
        STATE["metadata"]["authorization_endpoint"], code_verifier=verifier, nonce=nonce
    )
    back = (tab or Tab()).allow(url, ADMIN)
    assert parse_qs(urlsplit(back).query)["iss"] == [ISSUER]
    token = of.fetch_token(authorization_response=back, state=state, code_verifier=verifier)
    id_token(token["id_token"], own, nonce)
    return token


def refused(call, *args, **kwargs):
    """The OAuth error that something ends with."""
    try:
        call(*args, **kwargs)
    except OAuthError as error:
        return error.error
    raise AssertionError("it was not refused")


@step("discovery")
def _():
    found = requests.get(get_well_known_url(ISSUER, external=True), hooks={"response": note}).json()
    OpenIDProviderMetadata(found).validate()
    plain = requests.get(ISSUER + "/.well-known/oauth-authorization-server", hooks={"response": note}).json()
    AuthorizationServerMetadata(plain).validate()
    STATE["metadata"] = found


@step("client_credentials, client_secret_basic")
def _():
    of = session("basic", "client_secret_basic")
    token = of.fetch_token(grant_type="client_credentials", scope="pets:write")
    assert called(token["access_token"]) == 200
    assert of.get(SETTING["api"] + "/pets").status_code == 200


@step("client_credentials, client_secret_post")
def _():
    of = session("post", "client_secret_post")
    assert of.fetch_token(grant_type="client_credentials", scope="pets:write")["token_type"] == "Bearer"


@step("client_credentials, private_key_jwt")
def _():
    assert keyed().fetch_token(grant_type="client_credentials", scope="pets:write")["access_token"]


@step("code and PKCE")
def _():
    of = session("basic", "client_secret_basic")
    token = code(of, CLIENTS["basic"])
    assert called(token["access_token"], method="POST") == 200
    user = of.get(STATE["metadata"]["userinfo_endpoint"])
    assert user.json()["preferred_username"] == ADMIN[0]
    STATE["user"] = of


@step("refresh")
def _():
    of = STATE["user"]
    old = dict(of.token)
    fresh = of.refresh_token()
    assert fresh["refresh_token"] != old["refresh_token"]
    assert called(fresh["access_token"]) == 200


@step("refresh by itself")
def _():
    of = STATE["user"]
    old = of.token["access_token"]
    of.token["expires_at"] = 1
    assert of.get(SETTING["api"] + "/pets").status_code == 200
    assert of.token["access_token"] != old


@step("an access token is one of RFC 9068")
def _():
    class Validator(JWTBearerTokenValidator):
        def get_jwks(self):
            return KeySet.import_key_set(requests.get(STATE["metadata"]["jwks_uri"]).json())

    audience = SETTING["everywhere"]
    of = session("basic", "client_secret_basic")
    for text in (
        of.fetch_token(grant_type="client_credentials", scope="pets:write")["access_token"],
        STATE["user"].token["access_token"],
    ):
        validator = Validator(issuer=ISSUER, resource_server=audience)
        read = validator.authenticate_token(text)
        assert read, "it is not accepted"
        validator.validate_token(read, ["pets:write"], None)


@step("introspection")
def _():
    of = STATE["user"]
    told = of.introspect_token(STATE["metadata"]["introspection_endpoint"], token=of.token["access_token"])
    assert told.json()["active"] is True, told.text


@step("revocation")
def _():
    of = STATE["user"]
    endpoint = STATE["metadata"]["revocation_endpoint"]
    access, refresh = of.token["access_token"], of.token["refresh_token"]
    assert of.revoke_token(endpoint, token=access, token_type_hint="access_token").status_code == 200
    assert called(access) == 401
    assert of.revoke_token(endpoint, token=refresh, token_type_hint="refresh_token").status_code == 200
    assert refused(of.refresh_token, refresh_token=refresh) == "invalid_grant"


@step("introspection and revocation, private_key_jwt")
def _():
    of = keyed()
    token = of.fetch_token(grant_type="client_credentials", scope="pets:write")["access_token"]
    told = of.introspect_token(STATE["metadata"]["introspection_endpoint"], token=token)
    assert told.json()["active"] is True, told.text
    auth = of.client_auth("private_key_jwt")
    assert of.revoke_token(STATE["metadata"]["revocation_endpoint"], token=token, auth=auth).status_code == 200
    assert called(token) == 401


@step("a public client")
def _():
    of = session("public", "none")
    token = code(of, CLIENTS["public"])
    assert of.refresh_token()["refresh_token"] != token["refresh_token"]


@step("device")
def _():
    of = session("basic", "client_secret_basic")
    begun = of.post(
        STATE["metadata"]["device_authorization_endpoint"],
        data={"scope": "openid pets:write"},
        auth=of.client_auth("client_secret_basic"),
        withhold_token=True,
    ).json()
    ask = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": begun["device_code"]}
    assert refused(of.fetch_token, **ask) == "authorization_pending"
    assert Tab().allow(begun["verification_uri_complete"], ADMIN).status_code == 200
    assert called(of.fetch_token(**ask)["access_token"]) == 200


@step("token exchange")
def _():
    of = session("exchanger", "client_secret_basic")
    subject = code(session("basic", "client_secret_basic"), CLIENTS["basic"])
    token = of.fetch_token(
        grant_type="urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token=subject["access_token"],
        subject_token_type="urn:ietf:params:oauth:token-type:access_token",
        scope="pets:write",
    )
    assert token["issued_token_type"] == "urn:ietf:params:oauth:token-type:access_token"


def certified(name):
    of = session(name, "none")
    of.cert = (CLIENTS[name]["certFile"], CLIENTS[name]["keyFile"])
    token = of.fetch_token(grant_type="client_credentials", scope="pets:write")["access_token"]
    told = of.introspect_token(STATE["metadata"]["introspection_endpoint"], token=token)
    assert told.json()["cnf"]["x5t#S256"] == CLIENTS[name]["x5t"], told.text
    stranger = session(name, "none")
    assert refused(stranger.fetch_token, grant_type="client_credentials") == "invalid_client"


@step("tls_client_auth and bound tokens")
def _():
    certified("tls")


@step("self_signed_tls_client_auth and bound tokens")
def _():
    certified("own")


end()
