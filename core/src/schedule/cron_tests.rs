use jiff::civil::DateTime;

use super::cron::Cron;

fn cron(text: &str) -> Cron {
    text.parse().expect(text)
}

fn at(text: &str) -> DateTime {
    text.parse().expect(text)
}

/// Those met in 2024 around a moment: the last before it and the first after.
fn around(text: &str, moment: &str) -> (String, String) {
    let (cron, moment) = (cron(text), at(moment));
    let last = cron.latest(at("2020-01-01T00:00"), moment);
    let next = cron.earliest(moment, at("2030-01-01T00:00"));
    let told = |found: Option<DateTime>| {
        found.map_or_else(String::new, |at| at.strftime("%Y-%m-%d %H:%M").to_string())
    };
    (told(last), told(next))
}

#[test]
fn every_form_is_met() {
    // 2024-05-15 was a Wednesday.
    for (text, last, next) in [
        ("* * * * *", "2024-05-15 10:30", "2024-05-15 10:31"),
        ("0 8 * * *", "2024-05-15 08:00", "2024-05-16 08:00"),
        ("30 10 * * *", "2024-05-15 10:30", "2024-05-16 10:30"),
        ("*/20 9-17 * * *", "2024-05-15 10:20", "2024-05-15 10:40"),
        ("5/25 * * * *", "2024-05-15 10:30", "2024-05-15 10:55"),
        ("0 6,22 * * *", "2024-05-15 06:00", "2024-05-15 22:00"),
        ("0 0 1 * *", "2024-05-01 00:00", "2024-06-01 00:00"),
        ("0 0 31 * *", "2024-03-31 00:00", "2024-05-31 00:00"),
        ("0 0 * JAN,dec *", "2024-01-31 00:00", "2024-12-01 00:00"),
        ("0 7 * * Mon-Fri", "2024-05-15 07:00", "2024-05-16 07:00"),
        ("0 7 * * 6,7", "2024-05-12 07:00", "2024-05-18 07:00"),
        ("0 7 * * 0", "2024-05-12 07:00", "2024-05-19 07:00"),
        ("0 7 * * 5-7/2", "2024-05-12 07:00", "2024-05-17 07:00"),
        // The 13th or a Friday; a Friday among the odd days.
        ("0 0 13 * 5", "2024-05-13 00:00", "2024-05-17 00:00"),
        ("0 0 */2 * 5", "2024-05-03 00:00", "2024-05-17 00:00"),
        ("0 12 29 2 *", "2024-02-29 12:00", "2028-02-29 12:00"),
        ("  0\t8  * * * ", "2024-05-15 08:00", "2024-05-16 08:00"),
    ] {
        let found = around(text, "2024-05-15T10:30:30");
        assert_eq!(found, (last.to_owned(), next.to_owned()), "{text}");
    }
}

#[test]
fn a_minute_is_met_as_it_begins() {
    let cron = cron("30 10 * * *");
    let minute = at("2024-05-15T10:30");
    assert_eq!(cron.latest(minute, minute), Some(minute));
    assert_eq!(cron.earliest(minute, at("2024-05-15T10:31")), Some(minute));
    assert_eq!(cron.earliest(minute, minute), None, "the end is outside");
    assert_eq!(
        cron.latest(at("2024-05-15T10:30:01"), at("2024-05-15T23:00")),
        None
    );
}

#[test]
fn what_can_not_be_followed_tells_what_to_write() {
    for (text, reason, words) in [
        ("", "WrongFieldCount", "has 0 fields"),
        ("0 8 * *", "WrongFieldCount", "has 4 fields: write five"),
        ("0 0 8 * * *", "WrongFieldCount", "has 6 fields"),
        ("@daily", "WrongFieldCount", "has 1 fields"),
        (
            "60 8 * * *",
            "InvalidField",
            "`60` is no minute: write 0 to 59",
        ),
        (
            "0 24 * * *",
            "InvalidField",
            "`24` is no hour: write 0 to 23",
        ),
        (
            "0 8 0 * *",
            "InvalidField",
            "`0` is no day of a month: write 1 to 31",
        ),
        (
            "0 8 * 13 *",
            "InvalidField",
            "`13` is no month: write 1 to 12",
        ),
        ("0 8 * * 8", "InvalidField", "`8` is no day of the week"),
        (
            "0 8 * * fri-mon",
            "InvalidField",
            "`fri-mon` is no day of the week",
        ),
        ("0 8 * * ?", "InvalidField", "`?` is no day of the week"),
        ("0 18-8 * * *", "InvalidField", "`18-8` is no hour"),
        ("*/0 8 * * *", "InvalidField", "`*/0` is no minute"),
        ("1,,2 8 * * *", "InvalidField", "`` is no minute"),
        ("+1 8 * * *", "InvalidField", "`+1` is no minute"),
        ("1-2-3 8 * * *", "InvalidField", "`1-2-3` is no minute"),
        (
            "0 8 30 2 *",
            "NeverComes",
            "none of its months has such a day",
        ),
        (
            "0 8 31 4,6,9,11 */2",
            "NeverComes",
            "write a day that there is",
        ),
    ] {
        let error = text.parse::<Cron>().expect_err(text);
        assert_eq!(error.reason(), reason, "{text}");
        assert!(error.to_string().contains(words), "{text}: {error}");
    }
}
