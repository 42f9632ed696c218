//! What the options say of certificates of the gateway's clients.

use spec::CertificateHeader;

use super::options::AskMode;
use super::{Options, UpError};

/// Puts it into the gateway's configuration.
///
/// # Errors
/// [`UpError::Options`]: an option that lacks another one, no network, no field.
pub(super) fn set(options: &Options, config: &mut gateway::Config) -> Result<(), UpError> {
    let lacks = |this: &str, that: &str| UpError::Options(format!("{this} needs {that}"));
    config.client_certificates = match (
        &options.gateway_client_certificates,
        &options.gateway_client_ca,
    ) {
        (Some(mode), ca) => Some(gateway::ClientCertificates {
            required: *mode == AskMode::Require,
            ca: ca.clone(),
        }),
        (None, Some(_)) => {
            return Err(lacks(
                "--gateway-client-ca",
                "--gateway-client-certificates",
            ));
        }
        (None, None) => None,
    };
    let (from, header) = (
        &options.gateway_forwarded_certificate_from,
        &options.gateway_forwarded_certificate_header,
    );
    let Some(from) = from else {
        return match header {
            None => Ok(()),
            Some(_) => Err(lacks(
                "--gateway-forwarded-certificate-header",
                "--gateway-forwarded-certificate-from",
            )),
        };
    };
    let from = gateway::networks(from).map_err(|fault| {
        UpError::Options(format!("--gateway-forwarded-certificate-from: {fault}"))
    })?;
    let header = match header {
        None => CertificateHeader::default(),
        Some(name) => CertificateHeader::named(name).ok_or_else(|| {
            let message = "--gateway-forwarded-certificate-header: one of Client-Cert, X-Forwarded-Client-Cert, SSL-Client-Cert, X-SSL-Client-Cert is expected";
            UpError::Options(message.to_owned())
        })?,
    };
    config.forwarded_certificate = Some(gateway::Forwarding {
        from,
        header: header.as_str().parse().expect("these are field names"),
    });
    Ok(())
}
