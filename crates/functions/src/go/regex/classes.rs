//! Character classes: `[a-z]`, `[[:alpha:]]`, `\d`, `\pL`, `\p{Greek}`.

use std::fmt::Write as _;

use super::translate::{Writer, check_utf8, error, escape, rune, until};

/// Every character.
pub(super) const ANY: &str = r"[\x{0}-\x{10ffff}]";
/// No character.
pub(super) const NEVER: &str = r"[^\x{0}-\x{10ffff}]";

/// `\d`, `\S` and so on at the beginning: what stands for it in brackets, and what follows.
pub(super) fn perl(text: &[u8]) -> Option<(&'static str, &[u8])> {
    let class = match text.get(..2)? {
        br"\d" => "0-9",
        br"\D" => "[^0-9]",
        br"\s" => r"\t\n\x{c}\r\x{20}",
        br"\S" => r"[^\t\n\x{c}\r\x{20}]",
        br"\w" => "0-9A-Z_a-z",
        br"\W" => "[^0-9A-Z_a-z]",
        _ => return None,
    };
    Some((class, text.get(2..)?))
}

/// The characters of `[:name:]`.
fn posix(name: &[u8]) -> Option<&'static str> {
    Some(match name {
        b"alnum" => "0-9A-Za-z",
        b"alpha" => "A-Za-z",
        b"ascii" => r"\x{0}-\x{7f}",
        b"blank" => r"\t\x{20}",
        b"cntrl" => r"\x{0}-\x{1f}\x{7f}",
        b"digit" => "0-9",
        b"graph" => r"\x{21}-\x{7e}",
        b"lower" => "a-z",
        b"print" => r"\x{20}-\x{7e}",
        b"punct" => r"\x{21}-\x{2f}\x{3a}-\x{40}\x{5b}-\x{60}\x{7b}-\x{7e}",
        b"space" => r"\t-\r\x{20}",
        b"upper" => "A-Z",
        b"word" => "0-9A-Z_a-z",
        b"xdigit" => "0-9A-Fa-f",
        _ => return None,
    })
}

/// `\pL`, `\P{Greek}` or `\p{^Lu}` at the beginning: a class, and what follows it.
pub(super) fn unicode<'p>(writer: &mut Writer, text: &'p [u8]) -> Result<Option<(String, &'p [u8])>, String> {
    let mut negated = match text.get(..2) {
        Some(br"\p") => false,
        Some(br"\P") => true,
        _ => return Ok(None),
    };
    let body = text.get(2..).unwrap_or_default();
    let range = |expression| error("invalid character class range", expression);
    if body.is_empty() {
        return Err(range(text));
    }
    let (first, mut rest) = rune(body)?;
    let mut name = until(body, rest);
    if first == '{' {
        let Some(end) = rest.iter().position(|&byte| byte == b'}') else {
            check_utf8(text)?;
            return Err(range(text));
        };
        name = rest.get(..end).unwrap_or_default();
        rest = rest.get(end + 1..).unwrap_or_default();
        check_utf8(name)?;
    }
    if let Some(behind) = name.strip_prefix(b"^") {
        negated = !negated;
        name = behind;
    }
    let class = property(name).ok_or_else(|| range(until(text, rest)))?;
    // About the letters, the largest table.
    writer.spend(140_000);
    let (open, close) = if negated { ("[^", "]") } else { ("[", "]") };
    Ok(Some((format!("{open}{class}{close}"), rest)))
}

/// A category or script by its name, written for the crate. Case, spaces, `_` and `-` do not matter.
fn property(name: &[u8]) -> Option<String> {
    let folded: String = std::str::from_utf8(name)
        .ok()?
        .chars()
        .filter(|c| !matches!(c, ' ' | '_' | '-'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if folded.is_empty() || !folded.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return None;
    }
    let listed = |list: &str| list.contains(&format!(" {folded} "));
    Some(match folded.as_str() {
        "any" => ANY.into(),
        // Half a pair is in no text, and the crate has no such table.
        "cs" | "surrogate" => NEVER.into(),
        "ascii" => r"\x{0}-\x{7f}".into(),
        "assigned" => r"\P{gc=cn}".into(),
        _ if listed(CATEGORIES) => format!(r"\p{{gc={folded}}}"),
        _ if listed(SCRIPTS) => format!(r"\p{{sc={folded}}}"),
        _ => return None,
    })
}

/// A class in brackets at the beginning of `whole`, and what follows it.
pub(super) fn bracketed<'p>(writer: &mut Writer, whole: &'p [u8]) -> Result<(String, &'p [u8]), String> {
    let mut rest = whole.get(1..).unwrap_or_default();
    let negated = rest.starts_with(b"^");
    if negated {
        rest = rest.get(1..).unwrap_or_default();
    }
    let mut class = String::new();
    let mut first = true;
    while first || !rest.starts_with(b"]") {
        first = false;
        if let Some(name) = named(rest) {
            let behind = rest.get(name.len()..).unwrap_or_default();
            let inner = name.get(2..name.len() - 2).unwrap_or_default();
            let (inner, not) = match inner.strip_prefix(b"^") {
                Some(inner) => (inner, true),
                None => (inner, false),
            };
            let text = posix(inner).ok_or_else(|| error("invalid character class range", name))?;
            let _ = if not { write!(class, "[^{text}]") } else { write!(class, "{text}") };
            rest = behind;
            continue;
        }
        if let Some((text, behind)) = unicode(writer, rest)? {
            class.push_str(&text);
            rest = behind;
            continue;
        }
        if let Some((text, behind)) = perl(rest) {
            class.push_str(text);
            rest = behind;
            continue;
        }
        let begin = rest;
        let low = member(&mut rest, whole)?;
        let mut high = low;
        if rest.len() >= 2 && rest.starts_with(b"-") && !rest.starts_with(b"-]") {
            rest = rest.get(1..).unwrap_or_default();
            high = member(&mut rest, whole)?;
            if high < low {
                return Err(error("invalid character class range", until(begin, rest)));
            }
        }
        push_range(writer, &mut class, low, high);
    }
    let rest = rest.get(1..).unwrap_or_default();
    let text = match (class.is_empty(), negated) {
        (true, true) => ANY.into(),
        (true, false) => NEVER.into(),
        (false, true) => format!("[^{class}]"),
        (false, false) => format!("[{class}]"),
    };
    Ok((text, rest))
}

/// `[:name:]` at the beginning, whatever the name.
fn named(text: &[u8]) -> Option<&[u8]> {
    let body = text.strip_prefix(b"[:")?;
    let end = body.windows(2).position(|pair| pair == b":]")?;
    text.get(..end + 4)
}

/// One character of a class.
fn member(rest: &mut &[u8], whole: &[u8]) -> Result<u32, String> {
    if rest.is_empty() {
        return Err(error("missing closing ]", whole));
    }
    if rest.starts_with(b"\\") {
        let (code, behind) = escape(rest)?;
        *rest = behind;
        return Ok(code);
    }
    let (c, behind) = rune(rest)?;
    *rest = behind;
    Ok(u32::from(c))
}

/// Adds a range without the surrogates in it.
fn push_range(writer: &mut Writer, class: &mut String, low: u32, high: u32) {
    writer.spend(high - low);
    for (low, high) in [(low, high.min(0xd7ff)), (low.max(0xe000), high)] {
        if low <= high {
            let _ = write!(class, r"\x{{{low:x}}}-\x{{{high:x}}}");
        }
    }
}

/// The categories with their longer names, squeezed.
const CATEGORIES: &str = " c casedletter cc cf closepunctuation cn cntrl co combiningmark connectorpunctuation control cs \
    currencysymbol dashpunctuation decimalnumber digit enclosingmark finalpunctuation format \
    initialpunctuation l lc letter letternumber lineseparator ll lm lo lowercaseletter lt lu m mark \
    mathsymbol mc me mn modifierletter modifiersymbol n nd nl no nonspacingmark number openpunctuation \
    other otherletter othernumber otherpunctuation othersymbol p paragraphseparator pc pd pe pf pi po \
    privateuse ps punct punctuation s sc separator sk sm so spaceseparator spacingmark surrogate symbol \
    titlecaseletter unassigned uppercaseletter z zl zp zs ";

/// The scripts, squeezed. Go knows them by these names only, not by their four letters.
const SCRIPTS: &str = " adlam ahom anatolianhieroglyphs arabic armenian avestan balinese bamum bassavah batak bengali \
    bhaiksuki bopomofo brahmi braille buginese buhid canadianaboriginal carian caucasianalbanian chakma \
    cham cherokee chorasmian common coptic cuneiform cypriot cyprominoan cyrillic deseret devanagari \
    divesakuru dogra duployan egyptianhieroglyphs elbasan elymaic ethiopic garay georgian glagolitic \
    gothic grantha greek gujarati gunjalagondi gurmukhi gurungkhema han hangul hanifirohingya hanunoo \
    hatran hebrew hiragana imperialaramaic inherited inscriptionalpahlavi inscriptionalparthian javanese \
    kaithi kannada katakana kawi kayahli kharoshthi khitansmallscript khmer khojki khudawadi kiratrai \
    lao latin lepcha limbu lineara linearb lisu lycian lydian mahajani makasar malayalam mandaic \
    manichaean marchen masaramgondi medefaidrin meeteimayek mendekikakui meroiticcursive \
    meroitichieroglyphs miao modi mongolian mro multani myanmar nabataean nagmundari nandinagari \
    newtailue newa nko nushu nyiakengpuachuehmong ogham olchiki olonal oldhungarian olditalic \
    oldnortharabian oldpermic oldpersian oldsogdian oldsoutharabian oldturkic olduyghur oriya osage \
    osmanya pahawhhmong palmyrene paucinhau phagspa phoenician psalterpahlavi rejang runic samaritan \
    saurashtra sharada shavian siddham signwriting sinhala sogdian sorasompeng soyombo sundanese sunuwar \
    sylotinagri syriac tagalog tagbanwa taile taitham taiviet takri tamil tangsa tangut telugu thaana \
    thai tibetan tifinagh tirhuta todhri toto tulutigalari ugaritic vai vithkuqi wancho warangciti \
    yezidi yi zanabazarsquare ";
