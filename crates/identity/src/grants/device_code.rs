//! `urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 §3.4): a device asks whether somebody has decided.

use base::Digest;
use store::grants::DevicePoll;

use crate::IdentityState;
use crate::id_token::IdTokenInput;
use crate::mint::TokenAnswer;
use crate::oauth::OAuthError;
use crate::token::Asked;

/// By how much a device that asks too early has to slow down, in seconds (RFC 8628 §3.5).
const SLOWER_S: u64 = 5;

pub(crate) async fn answer(
    state: &IdentityState,
    asked: &Asked,
) -> Result<TokenAnswer, OAuthError> {
    let hash = Digest::of(asked.request.form.require("device_code")?.as_bytes());
    let (now, client_id) = (state.clock.unix_ms(), asked.client.client_id.as_str());
    let store = &state.people.store;
    let told = store.device_poll(&hash, client_id, now, SLOWER_S).await;
    let grant = match told.map_err(|error| state.store_failed(&error))? {
        DevicePoll::Granted(grant) => *grant,
        DevicePoll::Pending => {
            let text = "nobody has decided yet";
            return Err(OAuthError::of("authorization_pending", text));
        }
        DevicePoll::SlowDown(interval_s) => {
            state.metrics.devices_slowed.count();
            let text = format!("ask every {interval_s} seconds at most");
            return Err(OAuthError::of("slow_down", &text));
        }
        DevicePoll::Denied => {
            return Err(OAuthError::of("access_denied", "the user said no"));
        }
        DevicePoll::Expired => {
            let text = "the device code is over; begin anew";
            return Err(OAuthError::of("expired_token", text));
        }
        DevicePoll::Unknown => {
            let text = "the device code is unknown, was used, or belongs to another client";
            return Err(OAuthError::invalid_grant(text));
        }
    };
    let user = state.user_of(&grant).await?;
    let refresh = state.first_refresh_token(asked, &grant)?;
    if let Some(refresh) = &refresh {
        let put = store.refresh_put(&refresh.row).await;
        put.map_err(|error| state.store_failed(&error))?;
    }
    let id_token = IdTokenInput::default();
    let mut answer = state
        .answer_for_user(asked, &grant, &user, &grant.terms.scopes, id_token)
        .await?;
    answer.refresh_token = refresh.map(|refresh| refresh.text);
    Ok(answer)
}
