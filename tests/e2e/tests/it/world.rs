//! A platform with the pets, a backend that remembers, and who may call.

use e2e::{Api, Backend, Sandbox};
use reqwest::Method;
use serde_json::Value;
use tollway::up::Options;

use crate::PETS;

pub(crate) struct World {
    pub(crate) backend: Backend,
    pub(crate) sandbox: Sandbox,
    pub(crate) api: Api,
}

impl World {
    /// A platform with other options.
    pub(crate) async fn start(change: impl FnOnce(&mut Options)) -> Self {
        let backend = Backend::start().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start_in(folder, change).await.unwrap();
        let api = sandbox.api("pets", PETS, &backend.url(), "Gold").await;
        let api = api.unwrap();
        Self {
            backend,
            sandbox,
            api,
        }
    }

    /// Changes the API's document; the answer.
    pub(crate) async fn try_change(&self, change: impl FnOnce(&mut Value)) -> reqwest::Response {
        let path = format!("/apis/{}", self.api.name);
        let mut document = self.sandbox.call(Method::GET, &path, None).await.unwrap();
        document.as_object_mut().unwrap().remove("status");
        change(&mut document["spec"]);
        let request = self.sandbox.control(Method::PUT, &path).json(&document);
        request.send().await.unwrap()
    }

    pub(crate) async fn change(&self, change: impl FnOnce(&mut Value)) {
        let answer = self.try_change(change).await;
        let status = answer.status();
        assert!(status.is_success(), "{}", answer.text().await.unwrap());
    }

    /// The policies of the whole API.
    pub(crate) async fn policies(&self, policies: Value) {
        self.change(|spec| spec["policies"] = policies).await;
    }

    /// A file in the node's folder of secrets.
    pub(crate) fn secret(&self, file: &str, text: &str) {
        let path = self.sandbox.data_dir().join("secrets").join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The rule that refused, as `tollway explain` names it; it takes a second to be told.
    pub(crate) async fn rule(&self, problem: &Value) -> String {
        let trace_id = problem["traceId"].as_str().unwrap();
        let known = self.sandbox.trace(trace_id).await;
        let decision = &known["calls"][0]["decision"];
        assert!(
            !decision.to_string().contains("secret-text"),
            "{decision:#}"
        );
        decision["answer"]["rule"].as_str().unwrap().to_owned()
    }

    /// A field as the backend got it last.
    pub(crate) fn got(&self, name: &str) -> Option<String> {
        let seen = self.backend.seen();
        let value = seen.last()?.headers.get(name)?;
        Some(value.to_str().unwrap().to_owned())
    }
}
