//! What the document of the calling application allows it across all APIs. A step of chains whose callers are known; where
//! they are subscribed, `planQuota` asks the same.

use policy::{AskedBy, Asks, Outcome, Policy, RequestCx};

use crate::plan_quota::{ask, windows};

/// The step's name in traces.
pub const NAME: &str = "applicationLimits";

/// Asks the limits of the calling application; see [`crate::admission`] for what is answered.
struct ApplicationLimits;

/// The step.
#[must_use]
pub fn policy() -> Box<dyn Policy> {
    Box::new(ApplicationLimits)
}

impl Policy for ApplicationLimits {
    fn on_request<'a>(&'a self, cx: &'a mut RequestCx) -> Outcome<'a> {
        ask_all(cx);
        Outcome::CONTINUE
    }
}

/// Leaves what the application's document allows, where it says anything.
pub(crate) fn ask_all(cx: &mut RequestCx) {
    let caller = cx.principal.as_ref();
    let Some(application) = caller.and_then(|principal| principal.application) else {
        return;
    };
    let Some(limits) = cx.core.runtime.directory.application_limits(application) else {
        return;
    };
    let asks = &mut cx.slots.get_or_default::<Asks>().list;
    for (window, length) in windows(&limits) {
        let by = AskedBy::Application(limits.clone(), window);
        asks.push(ask(window.of_application(application), length, by));
    }
}
