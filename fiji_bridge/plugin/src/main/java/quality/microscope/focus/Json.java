package quality.microscope.focus;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON text: objects as {@code Map<String, Object>} in their order, arrays as
 * {@code List<Object>}, numbers as {@code Double}, and {@code String}, {@code Boolean}, null.
 */
final class Json {
    private static final int DEEPEST = 100;

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /**
     * Reads a text.
     *
     * @throws FocusException when it is not JSON; the message names the place
     */
    static Object parse(String text) {
        Json json = new Json(text);
        Object value = json.value(0);
        if (json.peek() != 0) {
            throw json.wrong("the end");
        }
        return value;
    }

    private Object value(int depth) {
        if (depth > DEEPEST) {
            throw wrong("at most " + DEEPEST + " nested levels");
        }
        char first = peek();
        if (first == '{') {
            return object(depth);
        }
        if (first == '[') {
            return array(depth);
        }
        if (first == '"') {
            return string();
        }
        for (String word : new String[] {"true", "false", "null"}) {
            if (text.startsWith(word, at)) {
                at += word.length();
                return "null".equals(word) ? null : (Object) "true".equals(word);
            }
        }
        return number();
    }

    private Map<String, Object> object(int depth) {
        Map<String, Object> entries = new LinkedHashMap<>();
        at++;
        if (peek() == '}') {
            at++;
            return entries;
        }
        while (true) {
            if (peek() != '"') {
                throw wrong("a name in quotes");
            }
            String name = string();
            expect(':');
            entries.put(name, value(depth + 1));
            if (peek() == '}') {
                at++;
                return entries;
            }
            expect(',');
        }
    }

    private List<Object> array(int depth) {
        List<Object> entries = new ArrayList<>();
        at++;
        if (peek() == ']') {
            at++;
            return entries;
        }
        while (true) {
            entries.add(value(depth + 1));
            if (peek() == ']') {
                at++;
                return entries;
            }
            expect(',');
        }
    }

    private String string() {
        StringBuilder content = new StringBuilder();
        at++;
        while (at < text.length()) {
            char c = text.charAt(at++);
            if (c == '"') {
                return content.toString();
            }
            if (c != '\\') {
                content.append(c);
                continue;
            }
            if (at == text.length()) {
                break;
            }
            char escaped = text.charAt(at++);
            int plain = "\"\\/bfnrt".indexOf(escaped);
            if (plain >= 0) {
                content.append("\"\\/\b\f\n\r\t".charAt(plain));
            } else if (escaped == 'u' && at + 4 <= text.length()) {
                try {
                    content.append((char) Integer.parseInt(text.substring(at, at + 4), 16));
                } catch (NumberFormatException error) {
                    throw wrong("four hexadecimal digits");
                }
                at += 4;
            } else {
                throw wrong("an escape sequence");
            }
        }
        throw wrong("a closing quote");
    }

    private Double number() {
        int start = at;
        while (at < text.length() && "+-.eE0123456789".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        try {
            return Double.valueOf(text.substring(start, at));
        } catch (NumberFormatException error) {
            at = start;
            throw wrong("a value");
        }
    }

    private void expect(char wanted) {
        if (peek() != wanted) {
            throw wrong("'" + wanted + "'");
        }
        at++;
    }

    /** Gives the next character that is no white space, or 0 at the end. */
    private char peek() {
        while (at < text.length() && " \t\r\n".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
        return at < text.length() ? text.charAt(at) : 0;
    }

    private FocusException wrong(String wanted) {
        String found = at < text.length() ? "'" + text.charAt(at) + "'" : "the end";
        return new FocusException(
                "no JSON: at character " + (at + 1) + " stands " + found + " instead of " + wanted
                        + ".");
    }
}
