//! Forms of our own pages, opened: from our own page, in the browser that it was made for, in time.

use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use crate::IdentityState;
use crate::browser::{Browser, PageError};
use crate::flow::{Flow, Stage};
use crate::form::{Form, is_form};

/// A form of ours that came back.
pub(crate) struct PageForm {
    pub(crate) headers: HeaderMap,
    pub(crate) address: Option<IpAddr>,
    pub(crate) browser: Browser,
    pub(crate) flow: Flow,
    pub(crate) form: Form,
}

impl IdentityState {
    /// Opens the form of this stage.
    ///
    /// # Errors
    /// The page to answer with.
    pub(crate) async fn open_form(
        &self,
        request: Request,
        stage: Stage,
    ) -> Result<PageForm, Response> {
        let headers = request.headers().clone();
        let config = &self.people.config;
        let address = config.address(request.extensions(), &headers);
        if !self.is_own_form(request.method(), &headers) {
            self.metrics.forms_refused.count();
            let status = StatusCode::FORBIDDEN;
            return Err(self
                .people
                .pages
                .error(&headers, status, "error_origin", ""));
        }
        let form = match Bytes::from_request(request, &()).await {
            Ok(body) if is_form(&headers) => Form::parse(&body).ok(),
            _ => None,
        };
        let browser = self
            .browser(&headers)
            .await
            .map_err(|error| self.page_failed(&headers, &error))?;
        let opened = form.and_then(|form| {
            let now = self.clock.unix_s();
            let flow = form.get("flow")?;
            let flow = Flow::open(flow, &self.people.keys, stage, &browser.id, now)?;
            Some((form, flow))
        });
        // Of another session than the one that is there: the page shows somebody else.
        let opened = opened.filter(|(_, flow)| {
            let present = browser.session.as_ref().map(|session| session.sid);
            flow.sid.is_none() || flow.sid == present
        });
        let Some((form, flow)) = opened else {
            return Err(self.form_over(&headers));
        };
        Ok(PageForm {
            headers,
            address,
            browser,
            flow,
            form,
        })
    }

    /// The page for a form that is over, or was never ours.
    pub(crate) fn form_over(&self, headers: &HeaderMap) -> Response {
        self.metrics.forms_refused.count();
        let status = StatusCode::BAD_REQUEST;
        self.people.pages.error(headers, status, "error_over", "")
    }

    /// The answer to a form, with the cookies that belong to it.
    pub(crate) fn close_form(
        &self,
        form: &PageForm,
        answer: Result<Response, PageError>,
    ) -> Response {
        match answer {
            Ok(response) => self.keep_browser(&form.browser, response),
            Err(error) => self.page_failed(&form.headers, &error),
        }
    }
}
