//! What the pages say, in each language.

/// A language of the pages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Language {
    English,
    German,
    Chinese,
}

impl Language {
    /// All of them, in the order of the columns of [`TEXTS`].
    pub(crate) const ALL: [Self; 3] = [Self::English, Self::German, Self::Chinese];

    /// The tag for `lang` (BCP 47).
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::Chinese => "zh-Hans",
        }
    }

    /// The first language of a list that there is: `ui_locales` first, then `Accept-Language` (RFC 9110 §12.5.4).
    pub(crate) fn choose(ui_locales: Option<&str>, accept: Option<&str>) -> Self {
        let wanted = ui_locales.into_iter().flat_map(|list| list.split(' '));
        wanted
            .filter_map(Self::of_tag)
            .next()
            .or_else(|| accept.and_then(Self::of_accept))
            .unwrap_or(Self::English)
    }

    fn of_tag(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next()?.trim();
        match primary.to_ascii_lowercase().as_str() {
            "en" => Some(Self::English),
            "de" => Some(Self::German),
            "zh" => Some(Self::Chinese),
            _ => None,
        }
    }

    fn of_accept(header: &str) -> Option<Self> {
        let mut best: Option<(f32, Self)> = None;
        for part in header.split(',').take(32) {
            let mut pieces = part.split(';');
            let language = pieces.next().and_then(Self::of_tag);
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q="))
                .map_or(Some(1.0), |weight| weight.parse::<f32>().ok());
            if let (Some(language), Some(weight)) = (language, weight)
                && weight > 0.0
                && best.is_none_or(|(most, _)| weight > most)
            {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }

    /// The text of this name.
    ///
    /// # Panics
    /// When there is none: names are written in the code, and a test asks for each.
    pub(crate) fn text(self, name: &str) -> &'static str {
        let row = TEXTS.iter().find(|(known, _)| *known == name);
        row.expect("every name is in the table").1[self as usize]
    }
}

/// Names and texts in English, German, Chinese.
pub(crate) const TEXTS: &[(&str, [&str; 3])] = &[
    ("product", ["Tollway", "Tollway", "Tollway"]),
    ("error_prefix", ["Error:", "Fehler:", "错误："]),
    ("login_title", ["Log in", "Anmelden", "登录"]),
    (
        "login_for",
        ["to continue to", "um fortzufahren zu", "以继续访问"],
    ),
    ("username", ["User name", "Benutzername", "用户名"]),
    ("password", ["Password", "Passwort", "密码"]),
    ("login_button", ["Log in", "Anmelden", "登录"]),
    (
        "login_failed",
        [
            "The user name or the password is wrong.",
            "Benutzername oder Passwort ist falsch.",
            "用户名或密码不正确。",
        ],
    ),
    (
        "login_wait",
        [
            "Too many attempts. Please try again in a while. Seconds to wait:",
            "Zu viele Versuche. Bitte später noch einmal versuchen. Wartezeit in Sekunden:",
            "尝试次数过多，请稍后再试。需等待的秒数：",
        ],
    ),
    (
        "busy",
        [
            "Many people are logging in right now. Please try again in a few seconds.",
            "Gerade melden sich viele an. Bitte in einigen Sekunden noch einmal versuchen.",
            "当前登录人数较多，请几秒后重试。",
        ],
    ),
    (
        "login_other_user",
        [
            "The application expects another user.",
            "Die Anwendung erwartet einen anderen Benutzer.",
            "该应用需要另一位用户登录。",
        ],
    ),
    (
        "account_title",
        ["Choose an account", "Konto wählen", "选择账户"],
    ),
    (
        "account_continue",
        ["Continue as", "Weiter als", "继续使用"],
    ),
    (
        "account_other",
        [
            "Use another account",
            "Anderes Konto verwenden",
            "使用其他账户",
        ],
    ),
    (
        "consent_title",
        ["Allow access?", "Zugriff erlauben?", "允许访问吗？"],
    ),
    (
        "consent_wants",
        [
            "asks to be allowed to:",
            "bittet um Erlaubnis für:",
            "请求以下权限：",
        ],
    ),
    (
        "no_scopes",
        ["nothing in particular", "nichts Besonderes", "无特定权限"],
    ),
    ("resources", ["At:", "Bei:", "访问对象："]),
    (
        "signed_in_as",
        ["Logged in as", "Angemeldet als", "当前登录用户"],
    ),
    (
        "goes_to",
        ["Then you go to", "Danach geht es zu", "随后将前往"],
    ),
    (
        "client_uri",
        ["About the application", "Über die Anwendung", "关于该应用"],
    ),
    (
        "tos_uri",
        ["Terms of service", "Nutzungsbedingungen", "服务条款"],
    ),
    ("policy_uri", ["Privacy policy", "Datenschutz", "隐私政策"]),
    ("allow", ["Allow", "Erlauben", "允许"]),
    ("deny", ["Deny", "Ablehnen", "拒绝"]),
    (
        "scope_openid",
        ["Know who you are", "Wissen, wer Sie sind", "确认您的身份"],
    ),
    (
        "scope_profile",
        [
            "See your user name",
            "Ihren Benutzernamen sehen",
            "查看您的用户名",
        ],
    ),
    (
        "scope_offline_access",
        [
            "Keep access while you are away",
            "Zugriff behalten, auch wenn Sie nicht da sind",
            "在您离开时继续保持访问",
        ],
    ),
    (
        "error_title",
        ["That did not work", "Das ging nicht", "操作未成功"],
    ),
    (
        "error_request",
        [
            "The application that sent you here made a request that cannot be answered. Please tell its operator.",
            "Die Anwendung, von der Sie kommen, hat eine Anfrage gestellt, die nicht beantwortet werden kann. Bitte sagen Sie es ihrem Betreiber.",
            "将您带到此处的应用发出了无法处理的请求。请联系该应用的运营方。",
        ],
    ),
    (
        "error_over",
        [
            "This page is too old or was opened in another browser. Please go back to the application and start again.",
            "Diese Seite ist zu alt oder wurde in einem anderen Browser geöffnet. Bitte gehen Sie zurück zur Anwendung und fangen Sie noch einmal an.",
            "此页面已过期或在其他浏览器中打开。请返回应用并重新开始。",
        ],
    ),
    (
        "error_origin",
        [
            "This form was sent from another site and was not accepted.",
            "Dieses Formular kam von einer anderen Website und wurde nicht angenommen.",
            "此表单来自其他网站，已被拒绝。",
        ],
    ),
    (
        "error_server",
        [
            "The server cannot answer right now. Please try again later.",
            "Der Server kann gerade nicht antworten. Bitte versuchen Sie es später noch einmal.",
            "服务器暂时无法响应，请稍后再试。",
        ],
    ),
    (
        "trace",
        [
            "Number of this request:",
            "Nummer dieser Anfrage:",
            "请求编号：",
        ],
    ),
    (
        "device_title",
        ["Connect a device", "Gerät verbinden", "连接设备"],
    ),
    (
        "device_enter",
        [
            "Enter the code that the device shows.",
            "Geben Sie den Code ein, den das Gerät anzeigt.",
            "请输入设备上显示的代码。",
        ],
    ),
    ("user_code", ["Code", "Code", "代码"]),
    ("next", ["Continue", "Weiter", "继续"]),
    (
        "device_unknown",
        [
            "This code is wrong or too old.",
            "Dieser Code ist falsch oder zu alt.",
            "此代码不正确或已过期。",
        ],
    ),
    (
        "device_confirm_title",
        [
            "Is this your device?",
            "Ist das Ihr Gerät?",
            "这是您的设备吗？",
        ],
    ),
    (
        "device_warning",
        [
            "Only go on if your own device shows this code right now. If somebody sent you the code, choose Deny.",
            "Fahren Sie nur fort, wenn Ihr eigenes Gerät gerade diesen Code anzeigt. Hat Ihnen jemand den Code geschickt, dann lehnen Sie ab.",
            "仅当您自己的设备此刻正显示此代码时才继续。如果代码是别人发给您的，请选择拒绝。",
        ],
    ),
    (
        "device_allowed_title",
        ["Device connected", "Gerät verbunden", "设备已连接"],
    ),
    (
        "device_allowed",
        [
            "You can go on at the device and close this page.",
            "Sie können am Gerät weitermachen und diese Seite schließen.",
            "您可以在设备上继续操作，并关闭此页面。",
        ],
    ),
    (
        "device_denied_title",
        ["Device refused", "Gerät abgelehnt", "已拒绝设备"],
    ),
    (
        "device_denied",
        [
            "The device gets no access. You can close this page.",
            "Das Gerät bekommt keinen Zugriff. Sie können diese Seite schließen.",
            "设备未获得访问权限。您可以关闭此页面。",
        ],
    ),
    ("logout_title", ["Log out?", "Abmelden?", "退出登录？"]),
    (
        "logout_ask",
        [
            "Applications that you use in this browser are told that you logged out.",
            "Anwendungen, die Sie in diesem Browser benutzen, erfahren, dass Sie sich abgemeldet haben.",
            "您在此浏览器中使用的应用将收到您已退出登录的通知。",
        ],
    ),
    ("logout_button", ["Log out", "Abmelden", "退出登录"]),
    (
        "logout_stay",
        ["Stay logged in", "Angemeldet bleiben", "保持登录"],
    ),
    (
        "logged_out_title",
        ["Logged out", "Abgemeldet", "已退出登录"],
    ),
    (
        "logged_out",
        [
            "You are logged out. You can close this page.",
            "Sie sind abgemeldet. Sie können diese Seite schließen.",
            "您已退出登录。您可以关闭此页面。",
        ],
    ),
    (
        "still_in_title",
        ["Still logged in", "Weiter angemeldet", "仍处于登录状态"],
    ),
    (
        "still_in",
        [
            "You stay logged in. You can close this page.",
            "Sie bleiben angemeldet. Sie können diese Seite schließen.",
            "您仍处于登录状态。您可以关闭此页面。",
        ],
    ),
    ("own_title", ["Your account", "Ihr Konto", "您的账户"]),
    (
        "own_sessions",
        [
            "Where you are logged in",
            "Wo Sie angemeldet sind",
            "您的登录会话",
        ],
    ),
    ("own_this", ["This browser", "Dieser Browser", "当前浏览器"]),
    (
        "own_unknown_browser",
        ["Unknown browser", "Unbekannter Browser", "未知浏览器"],
    ),
    ("own_since", ["Logged in", "Angemeldet", "登录时间"]),
    ("own_seen", ["Last used", "Zuletzt benutzt", "上次使用"]),
    ("own_address", ["Address", "Adresse", "地址"]),
    ("own_applications", ["Applications", "Anwendungen", "应用"]),
    (
        "own_end_session",
        ["End this session", "Diese Sitzung beenden", "结束此会话"],
    ),
    (
        "own_end_sessions",
        [
            "Log out everywhere",
            "Überall abmelden",
            "在所有设备上退出登录",
        ],
    ),
    (
        "own_consents",
        [
            "What you allowed applications",
            "Was Sie Anwendungen erlaubt haben",
            "您授予应用的权限",
        ],
    ),
    (
        "own_no_consents",
        [
            "You have not allowed any application anything.",
            "Sie haben keiner Anwendung etwas erlaubt.",
            "您尚未向任何应用授权。",
        ],
    ),
    ("own_allowed", ["Since", "Seit", "自"]),
    (
        "own_end_consent",
        ["Withdraw access", "Zugriff entziehen", "撤销授权"],
    ),
    (
        "own_end_consents",
        [
            "Withdraw access of all applications",
            "Allen Anwendungen den Zugriff entziehen",
            "撤销所有应用的授权",
        ],
    ),
    (
        "form_post_title",
        ["One moment", "Einen Augenblick", "请稍候"],
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_chosen_by_request_then_by_browser() {
        let choose = Language::choose;
        assert_eq!(choose(None, None), Language::English);
        assert_eq!(choose(Some("fr de-CH en"), Some("zh")), Language::German);
        assert_eq!(
            choose(Some("fr"), Some("zh-CN,zh;q=0.9")),
            Language::Chinese
        );
        assert_eq!(
            choose(None, Some("fr, en;q=0.3, de;q=0.8")),
            Language::German
        );
        assert_eq!(choose(None, Some("de;q=0, en;q=x")), Language::English);
    }

    #[test]
    fn every_text_is_there_in_every_language() {
        for (name, texts) in TEXTS {
            assert!(texts.iter().all(|text| !text.is_empty()), "{name}");
        }
    }
}
