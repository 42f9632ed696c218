//! Every error code of the product, in one table: `docs/reference/errors.md` is generated from it.
//!
//! A code is stable: clients branch on it. Status and title belong to the code; the detail belongs to the case.

/// Who has to act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// The caller sent something that cannot be served.
    Client,
    /// Tollway itself, or how it is configured.
    Gateway,
    /// The backend, or the way to it.
    Upstream,
}

/// One error code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code {
    /// The stable name, in upper snake case.
    pub name: &'static str,
    /// The HTTP status it is answered with.
    pub status: u16,
    /// A short title, the same for every occurrence.
    pub title: &'static str,
    /// Who has to act.
    pub origin: Origin,
    /// What it means and what to do, for the reference page.
    pub help: &'static str,
}

macro_rules! codes {
    ($($section:literal { $($name:ident $status:literal $origin:ident $title:literal : $help:literal;)+ })+) => {
        $($(
            #[doc = $help]
            pub const $name: Code =
                Code { name: stringify!($name), status: $status, title: $title, origin: Origin::$origin, help: $help };
        )+)+

        /// All codes, by section, in the order of the reference page.
        pub static SECTIONS: &[(&str, &[Code])] = &[$(($section, &[$($name),+])),+];
    };
}

codes! {
    "Routing" {
        BAD_REQUEST_FRAMING 400 Client "Malformed request":
            "The head of the request is ambiguous or malformed (RFC 9112). The connection is closed. Send one well-formed Host, one framing header, CRLF line ends.";
        BAD_PATH 400 Client "Unsafe path":
            "The path holds dot-segments, encoded separators, double encoding, a backslash or a control character. Send the canonical path.";
        HEADER_TOO_LARGE 431 Client "Header too large":
            "The head of the request exceeds the configured number or size of headers.";
        URI_TOO_LONG 414 Client "Request target too long":
            "The path and query of the request are longer than configured.";
        ROUTE_NOT_FOUND 404 Client "No such resource":
            "No API is served at this host and path, or the API has no operation with this path.";
        METHOD_NOT_ALLOWED 405 Client "Method not allowed":
            "The path exists, the method does not. The Allow header names those that do.";
        API_NOT_PUBLISHED 404 Client "API not published":
            "The API exists in state Created and is not served yet.";
        API_BLOCKED 503 Gateway "API blocked":
            "The API is in state Blocked: its owner has stopped it for the time being.";
        API_RETIRED 410 Client "API retired":
            "The API is in state Retired and will not come back. Use another version.";
        TRANSPORT_NOT_ALLOWED 403 Client "Transport not allowed":
            "The API is not served over this transport: its document allows https only, or http only. Call it over the other one.";
        API_BROKEN 503 Gateway "API broken":
            "The API's document does not compile on this node; it fails closed until it is mended. The control API's status names the cause.";
        NODE_NOT_READY 503 Gateway "Not ready":
            "The node has not yet loaded its configuration.";
        UPGRADE_NOT_SUPPORTED 501 Client "Upgrade not supported":
            "The request asks for a tunnel (CONNECT) to somewhere, or for another protocol than WebSocket; or for a WebSocket whose backend speaks HTTP/2 alone and takes none there (RFC 8441).";
        WEBSOCKET_HANDSHAKE 400 Client "Not a WebSocket handshake":
            "The request asks for a WebSocket, and is no handshake of RFC 6455. The detail says what is wrong.";
        WEBSOCKET_VERSION 426 Client "WebSocket version not supported":
            "The handshake names another version of the WebSocket protocol than 13.";
        TUNNEL_LIMIT 503 Gateway "Too many WebSockets":
            "The node, or the client's address, has as many WebSockets open as it may. The detail says which.";
        METHOD_NOT_SUPPORTED 501 Client "Method not supported":
            "TRACE is not served: its answer would show what the gateway adds to the request.";
        CONNECTION_LIMIT 503 Gateway "Too many connections":
            "The node holds as many connections as it is configured to.";
        CLIENT_CONNECTION_LIMIT 429 Client "Too many connections of one client":
            "The client's address holds as many connections as one client may. Use fewer, and keep them open.";
        PIPELINE_LIMIT 429 Client "Too many requests in advance":
            "More requests were sent on an HTTP/1.1 connection than may wait for their answers. The connection is closed.";
    }
    "Authentication and authorisation" {
        CREDENTIALS_MISSING 401 Client "Credentials missing":
            "The operation needs a credential (a token, an API key, a password, a certificate) and the request carries none.";
        TOKEN_INVALID 401 Client "Invalid token":
            "The access token is malformed, has a wrong signature, algorithm, type, issuer or audience. The detail says which.";
        TOKEN_EXPIRED 401 Client "Token expired":
            "The access token's lifetime is over. Ask for a new one.";
        TOKEN_NOT_YET_VALID 401 Client "Token not yet valid":
            "The access token's nbf lies ahead by more than the leeway: a clock is wrong.";
        TOKEN_REVOKED 401 Client "Token revoked":
            "The access token, its client or its application was revoked.";
        PROOF_INVALID 401 Client "Invalid proof of possession":
            "The access token is bound to a key: to a DPoP key, and the call carries no proof of it, or one that is malformed, old, used before or for another request; or to a certificate that the connection did not show. The detail says which.";
        TOKEN_UNVERIFIED 503 Gateway "Token cannot be verified":
            "The token is not known on this node, and the control plane, which would know it, does not answer or is asked too much. Retry-After says when to try again.";
        API_KEY_INVALID 401 Client "Invalid API key":
            "The API key is unknown, revoked or expired, or mistyped: its checksum does not fit.";
        API_KEY_ADDRESS_REFUSED 403 Client "Address not allowed":
            "The API key is limited to addresses, and the call does not come from one of them.";
        API_KEY_OPERATION_REFUSED 403 Client "Operation not allowed":
            "The API key is limited to operations, and this one is not among them.";
        PASSWORD_INVALID 401 Client "Wrong user name or password":
            "The user is unknown, the password is wrong, or the credential is malformed; which of them is not told.";
        CERTIFICATE_INVALID 401 Client "Client certificate refused":
            "The client certificate is signed by nobody whom the API trusts, has expired, was revoked, or is not among those that the API takes. The detail says which.";
        CREDENTIALS_INCOMPLETE 401 Client "Credential missing":
            "The operation needs several credentials together; some are good, and another one is missing. WWW-Authenticate says which ways there are.";
        CREDENTIALS_CONFLICT 401 Client "Credentials of different applications":
            "The operation needs several credentials together, and those of the request belong to different applications or environments.";
        CREDENTIALS_UNVERIFIED 503 Gateway "Credentials cannot be checked":
            "The node cannot read what it would check the credential with (authorities, revocation lists, users), or checks too many passwords at the moment. Its log says which.";
        EXTERNAL_AUTHORIZATION_FAILED 503 Gateway "Authorization cannot be decided":
            "The service that decides whether the call may pass (`extAuthz`) did not answer in time, or gave an answer that cannot be understood or asks for what it may not. `tollway explain` says which. The backend was not called.";
        BACKEND_CREDENTIAL_MISSING 503 Gateway "No credential for the backend":
            "The node cannot make what the backend has to be shown of the call: a key, password or token of the backend's policy is not there or cannot be used. `tollway explain` and the node's log say which. The backend was not called.";
        CALLER_NOT_ALLOWED 403 Client "Not allowed":
            "A rule of the API does not let this caller do this. `tollway explain` names the rule and what it looked at.";
        SCOPE_INSUFFICIENT 403 Client "Insufficient scope":
            "The token lacks a scope that the operation requires. WWW-Authenticate names the scopes.";
        SUBSCRIPTION_MISSING 403 Client "Not subscribed":
            "The application has no subscription to this API.";
        SUBSCRIPTION_BLOCKED 403 Client "Subscription blocked":
            "The application's subscription to this API is blocked or its plan no longer exists.";
    }
    "Environments" {
        ENVIRONMENT_NOT_SERVED 403 Client "Environment not served":
            "The operation has no backend for the environment of the credential: a sandbox credential where there is no sandbox backend, or a production credential where there is a sandbox backend only. Use a credential of the other environment, or add the backend.";
    }
    "Limits" {
        QUOTA_EXCEEDED 429 Client "Quota exceeded":
            "The plan's quota is used up for the moment. Retry-After says when a call will pass again.";
        RATE_LIMITED 429 Client "Too many requests":
            "A limit of the API is reached for the moment; the detail names it. Retry-After says when a call will pass again.";
        LIMITS_UNAVAILABLE 503 Gateway "Limits unavailable":
            "Who shares limits out among the nodes does not answer, and the node is configured to refuse calls then.";
        DENIED 403 Client "Denied":
            "A deny rule of the operator refuses this caller. The decision of the call tells operators which one, and why.";
        BODY_TOO_LARGE 413 Client "Body too large":
            "The request's body exceeds the configured size.";
        REQUEST_TIMEOUT 408 Client "Request timed out":
            "The client did not send the whole head in time, or its body too slowly.";
    }
    "Backends" {
        BACKEND_UNREACHABLE 502 Upstream "Backend unreachable":
            "No connection to the backend could be made: address, DNS or refusal. `tollway explain` and the node's log say which.";
        BACKEND_TLS_FAILED 502 Upstream "Backend not trusted":
            "TLS to the backend failed: its certificate is not signed by a trusted CA, is for another name or has expired, it wants a client certificate that it was not shown or does not take, or the versions do not fit. `tollway explain` and the node's log say which.";
        BACKEND_FAILED 502 Upstream "Backend failed":
            "The backend closed the connection or broke HTTP before its answer was complete.";
        BACKEND_TIMEOUT 504 Upstream "Backend timed out":
            "The backend did not answer within the configured timeout.";
        BACKEND_OVERLOADED 503 Upstream "Backend overloaded":
            "The limits of the backend's `circuitBreaker` on connections, waiting calls or calls at a time are reached. Retry-After says when to try again.";
        BACKEND_CIRCUIT_OPEN 503 Upstream "Circuit open":
            "Too many calls to the backend failed, so it is not called for a while. Retry-After says when the next call is let through.";
    }
    "Control API" {
        BAD_REQUEST 400 Client "Bad request":
            "The request cannot be read; the detail says why.";
        INVALID_DOCUMENT 422 Client "Invalid document":
            "The document or definition has errors. The member `errors` lists every one with file, line, column, pointer and mend.";
        INVALID_METADATA 422 Client "Client metadata refused":
            "A client cannot be registered so. The member `errors` lists every fault with its member of the metadata.";
        INVALID_ARCHIVE 422 Client "Archive refused":
            "The archive is damaged, holds names, links or sizes that are not taken, or no file of it is clearly the definition; the detail says which.";
        ADDRESS_BLOCKED 422 Client "Address blocked":
            "The URL, or a redirect, leads into private, loopback, link-local, metadata or another space that the platform does not fetch from. The operator allows hosts and networks with --outbound-allow.";
        FETCH_FAILED 502 Upstream "Not fetched":
            "What stands at the URL could not be fetched; the detail says why, not what was found.";
        LOGIN_FAILED 401 Client "Login failed":
            "User name or password are wrong.";
        UNAUTHENTICATED 401 Client "Not logged in":
            "The call needs a bearer token of the control API. POST /api/v1/login gives one.";
        FORBIDDEN 403 Client "Not allowed":
            "The user's roles do not allow this.";
        NOT_FOUND 404 Client "Not found":
            "There is no such object in this organisation.";
        CONTROL_METHOD_NOT_ALLOWED 405 Client "Method not allowed":
            "The control API's path exists, the method does not.";
        CONFLICT 409 Client "Conflict":
            "The object exists already, or another object holds the same name, context or version.";
        IN_USE 409 Client "In use":
            "Other objects still refer to this one; the detail names them.";
        TRANSITION_NOT_ALLOWED 409 Client "Transition not allowed":
            "The life cycle has no way from the present state to the wanted one; the detail lists those it has.";
        REVISION_CONFLICT 412 Client "Changed meanwhile":
            "If-Match names a revision that is no longer the present one. Read the object again.";
        CANNOT_UNDO 409 Client "Cannot be undone":
            "The revision changed no documents, or a later one changed the same documents; `errors` lists them. With force the later changes are lost.";
        PAYLOAD_TOO_LARGE 413 Client "Too large":
            "The body of the call to the control API exceeds the configured size.";
        UNSUPPORTED_MEDIA_TYPE 415 Client "Unsupported media type":
            "The control API reads JSON, and YAML where its reference says so.";
        TOO_MANY_REQUESTS 429 Client "Too many requests":
            "Too many logins or token requests are being checked at the moment. Retry-After says when to come back.";
        NOT_ACKNOWLEDGED 504 Gateway "Saved, not yet served":
            "The change is stored, but not every node acknowledged it in time. It takes effect when the node is back; nothing has to be repeated. The member `missing` lists the nodes and what they serve.";
        STORE_UNAVAILABLE 503 Gateway "Store unavailable":
            "The database cannot be reached or refuses to write. Nothing was changed.";
        INTERNAL 500 Gateway "Internal error":
            "A defect of ours. The log has the cause under the trace id.";
    }
}

/// Finds a code by its name.
#[must_use]
pub fn by_name(name: &str) -> Option<&'static Code> {
    SECTIONS
        .iter()
        .flat_map(|(_, codes)| codes.iter())
        .find(|code| code.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique() {
        let mut names: Vec<_> = SECTIONS
            .iter()
            .flat_map(|(_, codes)| codes.iter().map(|code| code.name))
            .collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
