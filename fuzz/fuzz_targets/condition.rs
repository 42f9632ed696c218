//! Conditions of limits and deny rules: whatever holds does not hold inverted, what has no answer has none either way, and a
//! network is asked for an address without harm.
#![no_main]

use expr::{Attribute, Attributes, Expr, Value};
use libfuzzer_sys::fuzz_target;

struct Request<'r>(&'r str);

impl Attributes for Request<'_> {
    fn value(&self, attribute: &Attribute) -> Option<Value<'_>> {
        match attribute {
            Attribute::Method => Some("GET".into()),
            Attribute::Path | Attribute::Query | Attribute::Subject => Some(self.0.into()),
            Attribute::Header(_) | Attribute::Parameter(_) => Some(self.0.into()),
            Attribute::ClientIp => Some(self.0.into()),
            Attribute::Application | Attribute::Scopes | Attribute::Roles | Attribute::Claim(_) => {
                None
            }
        }
    }
}

fuzz_target!(|input: (&str, &str)| {
    let (source, value) = input;
    let request = Request(value);
    if let (Ok(condition), Ok(inverted)) = (
        Expr::compile(source),
        Expr::compile(&format!("!({source})")),
    ) {
        match (condition.holds(&request), inverted.holds(&request)) {
            (Ok(holds), Ok(inverse)) => assert_ne!(holds, inverse, "{source}"),
            (Ok(_), Err(error)) => panic!("{source} has an answer, inverted it has none: {error}"),
            (Err(_), Ok(inverse)) => panic!("{source} has no answer, inverted it is {inverse}"),
            (Err(_), Err(_)) => {}
        }
    }
    if !source.contains(['\'', '\\', '\n', '\r'])
        && let Ok(network) = Expr::compile(&format!("inNetwork(client.ip, '{source}')"))
        && let Ok(inside) = network.holds(&request)
    {
        let address: std::net::IpAddr = value.parse().expect("only addresses have an answer");
        assert!(inside || source != address.to_canonical().to_string());
    }
});
