//! Rows to records and back.

use base::{GrantId, Org, SessionId, UserId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::grants::{
    AuthorizationCode, Consent, DeviceCode, Grant, Place, PushedRequest, RefreshToken, Session,
    WaitingLogout,
};
use store::{Result, StoreError};

use crate::entity::{
    code, consent, device_code, grant, pushed_request, refresh_token, session, waiting_logout,
};
use crate::rows::{bytes, digest, json, signed, unsigned};

fn text(value: &impl Serialize, what: &str) -> Result<String> {
    serde_json::to_string(value).map_err(|_| StoreError::Corrupt(what.to_owned()))
}

fn read<T: DeserializeOwned>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt(what.to_owned()))
}

pub(super) fn to_session(session: &Session) -> Result<session::Model> {
    Ok(session::Model {
        hash: bytes(session.hash),
        sid: session.sid.0,
        org: session.org.as_str().to_owned(),
        user_id: session.user_id.0,
        user_name: session.user.clone(),
        seen_unix_s: signed(session.seen_unix_s),
        expires_unix_s: signed(session.expires_unix_s),
        login: text(&session.login, "session")?,
        address: session.place.address.clone(),
        agent: session.place.agent.clone(),
    })
}

pub(crate) fn from_session(model: session::Model) -> Result<Session> {
    let what = format!("session {}", model.sid);
    Ok(Session {
        hash: digest(&model.hash, &what)?,
        org: Org::new(&model.org),
        user_id: UserId(model.user_id),
        user: model.user_name,
        seen_unix_s: unsigned(model.seen_unix_s, &what)?,
        expires_unix_s: unsigned(model.expires_unix_s, &what)?,
        login: read(&model.login, &what)?,
        place: Place {
            address: model.address,
            agent: model.agent,
        },
        sid: SessionId(model.sid),
    })
}

pub(crate) fn to_consent(consent: &Consent) -> Result<consent::Model> {
    let what = format!("consent to {}", consent.client_id);
    Ok(consent::Model {
        user_id: consent.user_id.0,
        client_id: consent.client_id.clone(),
        scopes: text(&consent.scopes, &what)?,
        resources: text(&consent.resources, &what)?,
        at_unix_ms: signed(consent.at_unix_ms),
    })
}

pub(crate) fn from_consent(model: consent::Model) -> Result<Consent> {
    let what = format!("consent to {}", model.client_id);
    Ok(Consent {
        user_id: UserId(model.user_id),
        scopes: read(&model.scopes, &what)?,
        resources: read(&model.resources, &what)?,
        at_unix_ms: unsigned(model.at_unix_ms, &what)?,
        client_id: model.client_id,
    })
}

pub(super) fn to_grant(grant: &Grant) -> Result<grant::Model> {
    Ok(grant::Model {
        id: grant.id.0,
        org: grant.org.as_str().to_owned(),
        client_id: grant.client_id.clone(),
        user_id: grant.user_id.0,
        sid: grant.sid.map(|sid| sid.0),
        offline: grant.offline.into(),
        revoked_unix_ms: grant.revoked_unix_ms.map(signed),
        created_unix_ms: signed(grant.created_unix_ms),
        expires_unix_s: signed(grant.expires_unix_s),
        terms: text(&grant.terms, "grant")?,
    })
}

pub(crate) fn from_grant(model: grant::Model) -> Result<Grant> {
    let what = format!("grant {}", model.id);
    Ok(Grant {
        id: GrantId(model.id),
        org: Org::new(&model.org),
        client_id: model.client_id,
        user_id: UserId(model.user_id),
        sid: model.sid.map(SessionId),
        offline: model.offline != 0,
        revoked_unix_ms: model
            .revoked_unix_ms
            .map(|at| unsigned(at, &what))
            .transpose()?,
        created_unix_ms: unsigned(model.created_unix_ms, &what)?,
        expires_unix_s: unsigned(model.expires_unix_s, &what)?,
        terms: read(&model.terms, &what)?,
    })
}

pub(super) fn to_code(code: &AuthorizationCode) -> Result<code::Model> {
    let expires = signed(code.expires_unix_s);
    Ok(code::Model {
        hash: bytes(code.hash),
        grant_id: code.grant.0,
        used: 0,
        expires_unix_s: expires,
        forget_unix_s: expires,
        binding: text(&code.binding, "authorization code")?,
    })
}

pub(super) fn from_code(model: &code::Model) -> Result<AuthorizationCode> {
    let what = "an authorization code";
    Ok(AuthorizationCode {
        hash: digest(&model.hash, what)?,
        grant: GrantId(model.grant_id),
        expires_unix_s: unsigned(model.expires_unix_s, what)?,
        binding: read(&model.binding, what)?,
    })
}

pub(super) fn to_refresh(token: &RefreshToken, parent: Option<&[u8]>) -> refresh_token::Model {
    refresh_token::Model {
        hash: bytes(token.hash),
        grant_id: token.grant.0,
        parent: parent.map(<[u8]>::to_vec),
        state: super::refresh::LIVE,
        rotated_unix_ms: 0,
        expires_unix_s: signed(token.expires_unix_s),
        binding: token.binding.clone(),
    }
}

pub(super) fn from_refresh(model: refresh_token::Model) -> Result<RefreshToken> {
    let what = "a refresh token";
    Ok(RefreshToken {
        hash: digest(&model.hash, what)?,
        grant: GrantId(model.grant_id),
        binding: model.binding,
        expires_unix_s: unsigned(model.expires_unix_s, what)?,
    })
}

pub(super) fn to_device(device: &DeviceCode) -> Result<device_code::Model> {
    Ok(device_code::Model {
        hash: bytes(device.hash),
        user_code: device.user_code.clone(),
        org: device.org.as_str().to_owned(),
        client_id: device.client_id.clone(),
        state: super::devices::UNDECIDED,
        interval_s: signed(device.interval_s),
        polled_unix_ms: 0,
        expires_unix_s: signed(device.expires_unix_s),
        grant_id: None,
        wish: text(&device.wish, "device code")?,
    })
}

pub(super) fn from_device(model: device_code::Model) -> Result<DeviceCode> {
    let what = "a device code";
    Ok(DeviceCode {
        hash: digest(&model.hash, what)?,
        user_code: model.user_code,
        org: Org::new(&model.org),
        client_id: model.client_id,
        expires_unix_s: unsigned(model.expires_unix_s, what)?,
        interval_s: unsigned(model.interval_s, what)?,
        wish: read(&model.wish, what)?,
    })
}

pub(super) fn to_pushed(request: &PushedRequest) -> pushed_request::Model {
    pushed_request::Model {
        hash: bytes(request.hash),
        client_id: request.client_id.clone(),
        parameters: request.parameters.to_string(),
        expires_unix_s: signed(request.expires_unix_s),
    }
}

pub(super) fn from_pushed(model: pushed_request::Model) -> Result<PushedRequest> {
    let what = "a pushed request";
    Ok(PushedRequest {
        hash: digest(&model.hash, what)?,
        parameters: json(&model.parameters, what)?,
        expires_unix_s: unsigned(model.expires_unix_s, what)?,
        client_id: model.client_id,
    })
}

pub(super) fn from_waiting(model: waiting_logout::Model) -> Result<WaitingLogout> {
    let what = "a client that waits for being told of a logout";
    Ok(WaitingLogout {
        id: model.id,
        org: Org::new(&model.org),
        client_id: model.client_id,
        user_id: UserId(model.user_id),
        sid: SessionId(model.sid),
        attempts: unsigned(model.attempts, what)?,
        created_unix_ms: unsigned(model.created_unix_ms, what)?,
    })
}
