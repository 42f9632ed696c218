//! Where an API is served.

use openapi::Definition;

/// The context of a base path, and whether the API must be its default version to be served there exactly: an API is
/// served at `/context/version`, and as default version at `/context` too.
///
/// # Errors
/// What is wrong with it, in words.
pub(super) fn mounted(
    base_path: &str,
    version: &str,
    definition: &Definition,
) -> Result<(String, bool), String> {
    let path = base_path.replace("{version}", version);
    let own = own_path(definition);
    let path = path
        .replace("/{basePath}", own)
        .replace("{basePath}", own.trim_start_matches('/'));
    let path = path.trim_end_matches("/*").trim_end_matches('/');
    if path.is_empty() {
        return Err("the API is served at the root of the gateway, which is no context".to_owned());
    }
    if let Some(fault) = spec::names::fault("tollway-context", path) {
        return Err(fault.message);
    }
    Ok(match path.strip_suffix(version) {
        // `/pets/1.0.0` in version 1.0.0
        Some(context) if context.len() > 1 && context.ends_with('/') => {
            (context.trim_end_matches('/').to_owned(), false)
        }
        _ => (path.to_owned(), true),
    })
}

/// The path of the definition's first server: `basePath` in Swagger 2.0. Begins with a slash or is empty.
fn own_path(definition: &Definition) -> &str {
    let server = definition.servers.first().map_or("", String::as_str);
    let behind = match server.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => server,
    };
    let path = behind.split(['?', '#']).next().unwrap_or_default();
    path.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(server: &str) -> Definition {
        let text = format!(
            "{{openapi: 3.0.0, info: {{title: t, version: '1'}}, servers: [{{url: '{server}'}}], paths: {{}}}}"
        );
        openapi::read(&text, &tree::Limits::default())
            .unwrap()
            .definition
    }

    /// req: GW17
    #[test]
    fn base_paths_become_contexts() {
        let definition = definition("https://api.example.com/v2/");
        for (base_path, expected) in [
            ("/petstore/v1", Ok(("/petstore/v1", true))),
            ("/petstore/v1/", Ok(("/petstore/v1", true))),
            ("/petstore/*", Ok(("/petstore", true))),
            ("/petstore/1.0.0", Ok(("/petstore", false))),
            ("/bank/{version}", Ok(("/bank", false))),
            ("/{version}/bank", Ok(("/1.0.0/bank", true))),
            ("/1.0.0", Ok(("/1.0.0", true))),
            ("/petstore-1.0.0", Ok(("/petstore-1.0.0", true))),
            ("/{basePath}/x", Ok(("/v2/x", true))),
            ("/a{basePath}", Ok(("/av2", true))),
            ("/*", Err("root")),
            ("/", Err("root")),
            ("", Err("root")),
            ("petstore", Err("begin with `/`")),
            ("/{tenant}/x", Err("no context")),
            ("/a/../b", Err("no context")),
        ] {
            let found = mounted(base_path, "1.0.0", &definition);
            match (found, expected) {
                (Ok((context, default)), Ok(expected)) => {
                    assert_eq!((context.as_str(), default), expected, "{base_path}");
                }
                (Err(message), Err(part)) => assert!(message.contains(part), "{message}"),
                (found, _) => panic!("{base_path}: {found:?}"),
            }
        }
    }
}
