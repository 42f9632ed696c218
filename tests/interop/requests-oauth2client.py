"""requests-oauth2client (PyPI) against the authorization server.

Environment: SETTING (JSON, made by the test), REQUESTS_CA_BUNDLE (PEM file), PYTHONPATH (folder with the libraries).
"""

import requests
from requests_oauth2client import (
    AuthorizationRequest,
    ClientSecretBasic,
    ClientSecretPost,
    DeviceAuthorizationPollingJob,
    DPoPKey,
    DPoPToken,
    OAuth2AccessTokenAuth,
    OAuth2Client,
    OAuth2ClientCredentialsAuth,
    PrivateKeyJwt,
    PublicApp,
    RequestUriParameterAuthorizationRequest,
)
from requests_oauth2client.exceptions import InvalidGrant, OAuth2Error, UnauthorizedClient

from steps import SETTING, Tab, called, end, noting, step

CLIENTS, ADMIN = SETTING["clients"], SETTING["admin"]


def client(name, auth=None, issuer=SETTING["issuer"], session=None, **more):
    own = CLIENTS[name]
    auth = auth or ClientSecretBasic(own["id"], own["secret"])
    session = session or noting(requests.Session())
    # What it does not read of the metadata, and an algorithm that it expects to be told.
    device = issuer + "/oauth2/device_authorization"
    more = {"device_authorization_endpoint": device, **more}
    more = {"redirect_uri": SETTING["callback"], "id_token_signed_response_alg": "ES256", **more}
    return OAuth2Client.from_discovery_endpoint(issuer=issuer, auth=auth, session=session, **more)


def keyed(name="keyed"):
    return PrivateKeyJwt(CLIENTS[name]["id"], CLIENTS[name]["jwk"], alg="ES256")


def code(of, push=False, tab=None, **more):
    """Code and PKCE as the library does it, checks of the answer and of the ID token included."""
    asked = of.authorization_request(scope="openid profile pets:write", **more)
    assert isinstance(asked, AuthorizationRequest)
    to = of.pushed_authorization_request(asked) if push else asked
    assert isinstance(to, RequestUriParameterAuthorizationRequest) == push
    back = (tab or Tab()).allow(to.uri, ADMIN)
    # The ID token is validated, its signature included; beside a DPoP token the library cannot do that (1.8.0: its token
    # then lacks its key).
    validate = not more.get("dpop")
    return of.authorization_code(asked.validate_callback(back), validate=validate)


def refused(error, call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"no {error.__name__}")


basic = client("basic")
STATE = {}


@step("discovery")
def _():
    assert basic.issuer == SETTING["issuer"]
    assert basic.authorization_response_iss_parameter_supported
    assert len(basic.authorization_server_jwks) >= 2


@step("client_credentials, client_secret_basic")
def _():
    token = basic.client_credentials(scope="pets:write")
    assert (token.token_type, token.scope) == ("Bearer", "pets:write")
    assert called(token) == 200


@step("client_credentials, client_secret_post")
def _():
    own = CLIENTS["post"]
    assert client("post", ClientSecretPost(own["id"], own["secret"])).client_credentials()


@step("client_credentials, private_key_jwt")
def _():
    assert client("keyed", keyed()).client_credentials()


@step("client_credentials as authentication of calls")
def _():
    assert called(OAuth2ClientCredentialsAuth(basic, scope="pets:write"), method="POST") == 200


@step("code and PKCE")
def _():
    token = STATE["user"] = code(basic)
    assert token.id_token.aud == CLIENTS["basic"]["id"]
    assert called(token, method="POST") == 200


@step("userinfo")
def _():
    assert basic.userinfo(STATE["user"])["preferred_username"] == ADMIN[0]


@step("refresh")
def _():
    old = STATE["user"]
    token = STATE["user"] = basic.refresh_token(old)
    assert token.refresh_token != old.refresh_token
    assert called(token) == 200


@step("refresh as authentication of calls")
def _():
    token = code(basic)
    auth = OAuth2AccessTokenAuth(basic, token, leeway=1_000_000)
    assert called(auth) == 200
    assert auth.token.access_token != token.access_token


@step("introspection")
def _():
    told = basic.introspect_token(STATE["user"])
    assert told["active"] and told["username"] == ADMIN[0]
    own = CLIENTS["post"]
    other = client("post", ClientSecretPost(own["id"], own["secret"]))
    assert other.introspect_token(STATE["user"]) == {"active": False}


@step("revocation")
def _():
    token = basic.client_credentials(scope="pets:write")
    assert basic.revoke_access_token(token)
    assert called(token) == 401
    user = code(basic)
    assert basic.revoke_refresh_token(user)
    refused(InvalidGrant, basic.refresh_token, user)
    assert called(user) == 401


@step("revocation of another client's token")
def _():
    own = CLIENTS["post"]
    other = client("post", ClientSecretPost(own["id"], own["secret"]))
    refused(OAuth2Error, other.revoke_access_token, STATE["user"])
    assert called(STATE["user"]) == 200


@step("device")
def _():
    begun = basic.authorize_device(scope="openid pets:write")
    assert Tab().allow(begun.verification_uri_complete, ADMIN).status_code == 200
    job = DeviceAuthorizationPollingJob(basic, begun, interval=1)
    token = None
    while token is None:
        token = job()
    assert called(token) == 200


@step("PAR")
def _():
    assert called(code(basic, push=True)) == 200


@step("PAR, private_key_jwt")
def _():
    of = client("keyed", keyed())
    token = code(of, push=True)
    assert of.introspect_token(token)["active"]
    assert of.revoke_access_token(token)
    assert not of.introspect_token(token)["active"]


@step("a public client")
def _():
    of = client("public", PublicApp(CLIENTS["public"]["id"]))
    token = code(of)
    assert of.refresh_token(token).refresh_token != token.refresh_token
    assert called(code(of, push=True)) == 200
    refused(UnauthorizedClient, of.client_credentials)


@step("DPoP")
def _():
    token = basic.client_credentials(scope="pets:write", dpop=True)
    assert isinstance(token, DPoPToken)
    assert called(token, method="POST") == 200
    assert called(token.access_token) == 401
    of = client("public", PublicApp(CLIENTS["public"]["id"]))
    for push in (False, True):
        user = code(of, push=push, dpop=True)
        assert isinstance(user, DPoPToken)
        assert called(user) == 200
        assert of.session.get(of.userinfo_endpoint, auth=user).json()["sub"] == user.id_token.sub
        fresh = of.refresh_token(user)
        assert isinstance(fresh, DPoPToken) and called(fresh) == 200
        refused(InvalidGrant, of.token_request, {"grant_type": "refresh_token", "refresh_token": fresh.refresh_token}, dpop_key=DPoPKey.generate(), dpop=True)


@step("token exchange")
def _():
    token = client("exchanger").token_exchange(subject_token=STATE["user"], subject_token_type="access_token")
    assert client("exchanger").introspect_token(token)["act"]["client_id"] == CLIENTS["exchanger"]["id"]


@step("resource indicators")
def _():
    token = basic.client_credentials(resource=SETTING["api"])
    assert basic.introspect_token(token)["aud"] in (SETTING["audience"], [SETTING["audience"]])


def certified(name):
    """The library knows no `mtls_endpoint_aliases`: it is sent to the address that asks for certificates."""
    session = noting(requests.Session())
    session.cert = (CLIENTS[name]["certFile"], CLIENTS[name]["keyFile"])
    of = client(name, PublicApp(CLIENTS[name]["id"]), session=session)
    token = of.client_credentials(scope="pets:write")
    assert of.introspect_token(token)["cnf"]["x5t#S256"] == CLIENTS[name]["x5t"]
    user = code(of, push=True)
    assert of.userinfo(user)["sub"] == user.id_token.sub
    session.cert = None
    refused(OAuth2Error, of.client_credentials)


@step("tls_client_auth and bound tokens")
def _():
    certified("tls")


@step("self_signed_tls_client_auth and bound tokens")
def _():
    certified("own")


end()
