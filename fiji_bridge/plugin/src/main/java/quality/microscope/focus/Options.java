package quality.microscope.focus;

import ij.IJ;
import ij.Macro;
import ij.Prefs;
import ij.gui.GenericDialog;
import ij.macro.Interpreter;
import ij.util.Tools;
import java.awt.Component;
import java.awt.GraphicsEnvironment;
import java.awt.Label;
import java.awt.TextField;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a command asks for: by a dialog, or in a macro by the keys of its options, {@code
 * run("Measure Focus...", "planes=all overlay na=0.5")}.
 *
 * <p>The dialog's labels are the keys, so what ImageJ's recorder writes is what is read here. In a
 * macro no dialog is made, which needs a screen; a wrong key or value is an error there. In a macro
 * without options, all have their defaults.
 */
final class Options {
    private static final String REMEMBERED = "microscope.quality.";
    private static final String PAGE =
            "https://github.com/microscope-quality/microscope-quality/blob/HEAD/docs/fiji.md";

    private enum Kind { CHOICE, CHECKBOX, NUMBER, TEXT, FILE, FOLDER, NOTE }

    /** Where a number comes from that was given the last time, and whether it is kept. */
    enum Memory {
        NONE,
        /** By all commands. */
        KEPT,
        /** By all commands, but this time the field is empty. */
        KEPT_UNSEEN,
        /** By this command, for itself. */
        OF_COMMAND
    }

    private static final class Field {
        final Kind kind;
        final String key;
        final Object standard;
        final String label;
        final String meaning;
        String[] items = {};
        String unit = "";
        Memory memory = Memory.NONE;
        boolean shown = true;
        /** The word of a choice that its key alone stands for in macros; null without one. */
        String alone;

        Field(Kind kind, String key, Object standard, String label, String meaning) {
            this.kind = kind;
            this.key = key;
            this.standard = standard;
            this.label = label;
            this.meaning = meaning;
        }
    }

    private final String title;
    private final String purpose;
    private final List<Field> fields = new ArrayList<>();
    private final Map<String, Object> values = new LinkedHashMap<>();
    private Runnable onChange;
    private boolean byDialog;

    /**
     * Starts without any field.
     *
     * @param title of the dialog
     * @param purpose what the command is for, in HTML
     */
    Options(String title, String purpose) {
        this.title = title;
        this.purpose = purpose;
    }

    /**
     * Adds one of several words; when it is not shown, it can be given in macros all the same.
     *
     * @param key in macros
     * @param label in the dialog
     * @param meaning what Help says of it, in HTML
     */
    void choice(String key, String label, String meaning, boolean shown, String... items) {
        Field field = new Field(Kind.CHOICE, key, items[0], label, meaning);
        field.items = items;
        field.shown = shown;
        fields.add(field);
    }

    /** Lets the key of the choice that was added last stand alone in macros, for one of its words. */
    void alone(String word) {
        fields.get(fields.size() - 1).alone = word;
    }

    void checkbox(String key, String label, String meaning, boolean standard) {
        fields.add(new Field(Kind.CHECKBOX, key, standard, label, meaning));
    }

    /** Adds a number; NaN for one that may stay empty. */
    void number(
            String key, String label, String meaning, double standard, String unit, Memory memory) {
        Field field = new Field(Kind.NUMBER, key, standard, label, meaning);
        field.unit = unit;
        field.memory = memory;
        fields.add(field);
    }

    void text(String key, String label, String meaning) {
        fields.add(new Field(Kind.TEXT, key, "", label, meaning));
    }

    void file(String key, String label, String meaning) {
        fields.add(new Field(Kind.FILE, key, "", label, meaning));
    }

    void folder(String key, String label, String meaning) {
        fields.add(new Field(Kind.FOLDER, key, "", label, meaning));
    }

    /** Adds a sentence to the dialog. */
    void note(String text) {
        fields.add(new Field(Kind.NOTE, "", "", text, ""));
    }

    /** Calls something when the dialog opens and whenever a value changes. */
    void onChange(Runnable action) {
        onChange = action;
    }

    String choice(String key) {
        return (String) values.get(key);
    }

    String text(String key) {
        return (String) values.get(key);
    }

    boolean isChecked(String key) {
        return (Boolean) values.get(key);
    }

    /** Gives a number; NaN when its field is empty. */
    double number(String key) {
        return (Double) values.get(key);
    }

    /**
     * Asks.
     *
     * @return false when the dialog was cancelled
     * @throws FocusException for an unknown key or a wrong value
     */
    boolean ask() {
        String options = Macro.getOptions();
        if (options != null || IJ.isMacro() || GraphicsEnvironment.isHeadless()) {
            read(options == null ? "" : options);
            return true;
        }
        GenericDialog dialog = dialog();
        if (onChange != null) {
            dialog.addDialogListener((source, event) -> {
                read(source);
                onChange.run();
                return true;
            });
            read(dialog);
            rewind(dialog);
            onChange.run();
        }
        dialog.showDialog();
        if (dialog.wasCanceled()) {
            return false;
        }
        // Esc that closed the help is not to stop the command.
        IJ.resetEscape();
        FocusException wrong = read(dialog);
        remember();
        if (wrong != null) {
            throw wrong;
        }
        return true;
    }

    /** Gives the number that was kept for all commands; NaN without one. */
    static double remembered(String key) {
        return Tools.parseDouble(Prefs.get(REMEMBERED + key, ""), Double.NaN);
    }

    private void remember() {
        for (Field field : fields) {
            // An empty field that was shown full was emptied on purpose.
            boolean given = field.kind == Kind.NUMBER && !Double.isNaN(number(field.key));
            if (field.memory == Memory.KEPT || field.memory == Memory.OF_COMMAND
                    || field.memory == Memory.KEPT_UNSEEN && given) {
                Prefs.set(place(field), String.valueOf(values.get(field.key)));
            }
        }
    }

    private String place(Field field) {
        String owner = field.memory == Memory.OF_COMMAND ? title.replace(' ', '_') + "." : "";
        return REMEMBERED + owner + field.key;
    }

    /** Gives an error's message; a field of the dialog is called as the dialog calls it. */
    String message(FocusException error) {
        for (Field field : fields) {
            if (byDialog && field.shown && field.key.equals(error.setting)
                    && !error.setting.isEmpty()) {
                return '"' + field.label + "\" " + error.fault;
            }
        }
        return error.getMessage();
    }

    /** Gives the text behind the dialog's button Help, which needs no network. */
    String help() {
        StringBuilder text = new StringBuilder(
                "<html><h2>" + title + "</h2><p>" + purpose + "</p><p></p><table>");
        List<String> keys = new ArrayList<>();
        for (Field field : fields) {
            if (field.kind != Kind.NOTE) {
                keys.add(field.key);
                text.append("<tr><td valign=top width=210><b>").append(field.label)
                        .append("</b></td><td valign=top width=480>").append(field.meaning)
                        .append("</td></tr>");
            }
        }
        return text + "</table><p></p><p>In macros: <i>" + String.join(", ", keys)
                + "</i>. The recorder (Plugins &gt; Macros &gt; Record...) writes the line.</p>"
                + "<p>More, with pictures: <a href=\"" + PAGE + "\">" + PAGE + "</a></p></html>";
    }

    private GenericDialog dialog() {
        byDialog = true;
        GenericDialog dialog = new GenericDialog(title);
        dialog.addHelp(help());
        for (Field field : fields) {
            if (!field.shown) {
                continue;
            }
            switch (field.kind) {
                case CHOICE:
                    dialog.addChoice(field.key, field.items, (String) field.standard);
                    break;
                case CHECKBOX:
                    dialog.addCheckbox(field.key, (Boolean) field.standard);
                    break;
                case NUMBER:
                    double value = (Double) field.standard;
                    if (field.memory == Memory.KEPT || field.memory == Memory.OF_COMMAND) {
                        double kept = Tools.parseDouble(Prefs.get(place(field), ""), value);
                        value = Double.isNaN(kept) ? value : kept;
                    }
                    dialog.addNumericField(field.key, value, decimals(value), 6, field.unit);
                    break;
                case TEXT:
                    dialog.addStringField(field.key, (String) field.standard, 22);
                    break;
                case FILE:
                    dialog.addFileField(field.key, (String) field.standard, 22);
                    break;
                case FOLDER:
                    dialog.addDirectoryField(field.key, (String) field.standard, 22);
                    break;
                default:
                    dialog.addMessage(field.label);
                    continue;
            }
            rename(dialog, field);
        }
        return dialog;
    }

    /** Puts readable words in place of a key; what is recorded stays the key. */
    private static void rename(GenericDialog dialog, Field field) {
        if (field.kind == Kind.CHECKBOX) {
            List<?> boxes = dialog.getCheckboxes();
            ((java.awt.Checkbox) boxes.get(boxes.size() - 1)).setLabel(field.label);
            return;
        }
        for (Component component : dialog.getComponents()) {
            if (component instanceof Label
                    && ((Label) component).getText().trim().equals(field.key.replace('_', ' '))) {
                ((Label) component).setText(field.label);
            }
        }
    }

    /** Gives the decimals that a field needs to show a number. */
    static int decimals(double value) {
        String text = Double.isNaN(value) ? "" : Table.general(value, 5);
        int point = text.indexOf('.');
        return point < 0 ? 0 : text.length() - point - 1;
    }

    /** Reads all fields, and gives the error of the first one that holds no number, or null. */
    private FocusException read(GenericDialog dialog) {
        FocusException wrong = null;
        int numbers = 0;
        for (Field field : fields) {
            if (!field.shown) {
                values.put(field.key, field.standard);
                continue;
            }
            switch (field.kind) {
                case CHOICE:
                    values.put(field.key, dialog.getNextChoice());
                    break;
                case CHECKBOX:
                    values.put(field.key, dialog.getNextBoolean());
                    break;
                case NUMBER:
                    double value = dialog.getNextNumber();
                    dialog.invalidNumber();
                    TextField input = (TextField) dialog.getNumericFields().get(numbers++);
                    values.put(field.key, value);
                    if (wrong == null && Double.isNaN(value)
                            && !input.getText().trim().isEmpty()) {
                        wrong = noNumber(field, input.getText());
                    }
                    break;
                case NOTE:
                    break;
                default:
                    values.put(field.key, dialog.getNextString().trim());
            }
        }
        return wrong;
    }

    /** Lets the dialog's values be read again from the first. */
    private static void rewind(GenericDialog dialog) {
        dialog.resetCounters();
    }

    private void read(String options) {
        Map<String, String> given = parse(options);
        boolean defaults = given.isEmpty();
        for (Field field : fields) {
            String text = given.remove(field.key);
            switch (field.kind) {
                case NOTE:
                    break;
                case CHECKBOX:
                    if (text != null && !text.isEmpty()) {
                        throw new FocusException(
                                field.key + " is given or left away; it takes no value, and has '"
                                        + text + "'.");
                    }
                    values.put(field.key, defaults ? field.standard : text != null);
                    break;
                case NUMBER:
                    values.put(field.key, text == null ? field.standard : number(field, text));
                    break;
                case CHOICE:
                    boolean alone = text != null && text.isEmpty() && field.alone != null;
                    String word = text == null ? (String) field.standard
                            : alone ? field.alone : variable(text);
                    if (!Arrays.asList(field.items).contains(word)) {
                        throw new FocusException(
                                field.key + " must be one of " + String.join(", ", field.items)
                                        + ", not '" + word + "'.");
                    }
                    values.put(field.key, word);
                    break;
                default:
                    values.put(field.key, text == null ? field.standard : variable(text));
            }
        }
        if (!given.isEmpty()) {
            List<String> known = new ArrayList<>();
            for (Field field : fields) {
                if (field.kind != Kind.NOTE) {
                    known.add(field.key);
                }
            }
            throw new FocusException(
                    "There is no option '" + given.keySet().iterator().next() + "'; there are "
                            + String.join(", ", known) + ".");
        }
    }

    private static Double number(Field field, String text) {
        String plain = text.trim();
        if (plain.isEmpty() || plain.equals("NaN")) {
            return Double.NaN;
        }
        double value = Tools.parseDouble(variable(plain));
        if (Double.isNaN(value)) {
            throw noNumber(field, text);
        }
        return value;
    }

    private static FocusException noNumber(Field field, String text) {
        return FocusException.of(field.key, "must be a number, not '" + text + "'.");
    }

    /** Gives a macro's variable where its name stands after an &, as ImageJ's own dialogs do. */
    private static String variable(String text) {
        Interpreter interpreter = Interpreter.getInstance();
        if (!text.startsWith("&") || interpreter == null) {
            return text.trim();
        }
        String value = interpreter.getVariableAsString(text.substring(1));
        if (value == null) {
            throw new FocusException("The macro has no variable " + text.substring(1) + ".");
        }
        return value.trim();
    }

    /**
     * Takes a macro's options apart.
     *
     * @param options words between spaces: {@code key}, {@code key=value} or {@code key=[value with
     *     spaces]}
     * @return values by key, in their order; empty for a key without one
     */
    static Map<String, String> parse(String options) {
        Map<String, String> found = new LinkedHashMap<>();
        int at = 0;
        while (at < options.length()) {
            if (Character.isWhitespace(options.charAt(at))) {
                at++;
                continue;
            }
            int end = at;
            while (end < options.length() && !Character.isWhitespace(options.charAt(end))
                    && options.charAt(end) != '=') {
                end++;
            }
            String key = options.substring(at, end);
            String value = "";
            if (end < options.length() && options.charAt(end) == '=') {
                int start = end + 1;
                end = start;
                if (start < options.length() && options.charAt(start) == '[') {
                    int depth = 0;
                    do {
                        char c = options.charAt(end++);
                        depth += c == '[' ? 1 : c == ']' ? -1 : 0;
                    } while (depth > 0 && end < options.length());
                    if (depth > 0) {
                        throw new FocusException(
                                "The options end before the ']' of " + key + "=[");
                    }
                    value = options.substring(start + 1, end - 1);
                } else {
                    while (end < options.length() && !Character.isWhitespace(options.charAt(end))) {
                        end++;
                    }
                    value = options.substring(start, end);
                }
            }
            found.put(key, value);
            at = end;
        }
        return found;
    }
}
