//! The page: one file, without anything from elsewhere.

use std::fmt::Write;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

const PAGE: &str = include_str!("../../assets/chat.html");

/// The page, under a policy by which only its own script and style run: a nonce that is fresh each
/// time marks them.
pub(super) fn response() -> Response<String> {
    let mut random = [0; 16];
    if getrandom::fill(&mut random).is_err() {
        let mut response = Response::new("the system has no randomness to give\n".to_owned());
        *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return response;
    }
    let nonce = random.iter().fold(String::new(), |mut nonce, byte| {
        let _ = write!(nonce, "{byte:02x}");
        nonce
    });
    let page = PAGE.replacen("<style>", &format!("<style nonce=\"{nonce}\">"), 1).replacen(
        "<script>",
        &format!("<script nonce=\"{nonce}\">"),
        1,
    );
    let policy = format!(
        "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
         connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let mut response = Response::new(page);
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_TYPE, "text/html; charset=utf-8");
    insert(headers, header::CACHE_CONTROL, "no-store");
    insert(headers, header::CONTENT_SECURITY_POLICY, &policy);
    insert(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    insert(headers, header::REFERRER_POLICY, "no-referrer");
    response
}

fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_one_style_and_one_script_and_nothing_from_elsewhere() {
        for once in ["<style>", "<script>"] {
            assert_eq!(PAGE.matches(once).count(), 1, "{once}");
        }
        for elsewhere in ["src=\"http", "href=\"http", "@import", "url(", "innerHTML"] {
            assert!(!PAGE.contains(elsewhere), "{elsewhere}");
        }
    }

    #[test]
    fn the_policy_names_the_nonce_of_the_script_and_the_style() {
        let response = response();
        let policy = response.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
        let nonce = policy.split('\'').find_map(|part| part.strip_prefix("nonce-")).unwrap();
        assert_eq!(response.body().matches(&format!(" nonce=\"{nonce}\">")).count(), 2);
    }
}
