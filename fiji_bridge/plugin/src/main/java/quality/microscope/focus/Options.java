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

    private enum Kind { CHOICE, CHECKBOX, NUMBER, TEXT, FILE, FOLDER, NOTE }

    private static final class Field {
        final Kind kind;
        final String key;
        final Object standard;
        final String label;
        String[] items = {};
        String unit = "";
        boolean remembered;
        boolean shown = true;

        Field(Kind kind, String key, Object standard, String label) {
            this.kind = kind;
            this.key = key;
            this.standard = standard;
            this.label = label;
        }
    }

    private final String title;
    private final List<Field> fields = new ArrayList<>();
    private final Map<String, Object> values = new LinkedHashMap<>();
    private Runnable onChange;

    Options(String title) {
        this.title = title;
    }

    /** Adds one of several words; when it is not shown, it can be given in macros all the same. */
    void choice(String key, String label, boolean shown, String... items) {
        Field field = new Field(Kind.CHOICE, key, items[0], label);
        field.items = items;
        field.shown = shown;
        fields.add(field);
    }

    void checkbox(String key, String label, boolean standard) {
        fields.add(new Field(Kind.CHECKBOX, key, standard, label));
    }

    /** Adds a number; NaN for one that may stay empty. */
    void number(String key, String label, double standard, String unit, boolean remembered) {
        Field field = new Field(Kind.NUMBER, key, standard, label);
        field.unit = unit;
        field.remembered = remembered;
        fields.add(field);
    }

    void text(String key, String label) {
        fields.add(new Field(Kind.TEXT, key, "", label));
    }

    void file(String key, String label) {
        fields.add(new Field(Kind.FILE, key, "", label));
    }

    void folder(String key, String label) {
        fields.add(new Field(Kind.FOLDER, key, "", label));
    }

    /** Adds a sentence to the dialog. */
    void note(String text) {
        fields.add(new Field(Kind.NOTE, "", "", text));
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
                read(source, false);
                onChange.run();
                return true;
            });
            read(dialog, false);
            rewind(dialog);
            onChange.run();
        }
        dialog.showDialog();
        if (dialog.wasCanceled()) {
            return false;
        }
        read(dialog, true);
        for (Field field : fields) {
            if (field.remembered) {
                Prefs.set(REMEMBERED + field.key, String.valueOf(values.get(field.key)));
            }
        }
        return true;
    }

    private GenericDialog dialog() {
        GenericDialog dialog = new GenericDialog(title);
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
                    if (field.remembered) {
                        value = Tools.parseDouble(
                                Prefs.get(REMEMBERED + field.key, String.valueOf(value)), value);
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

    private void read(GenericDialog dialog, boolean strictly) {
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
                    if (strictly && Double.isNaN(value) && !input.getText().trim().isEmpty()) {
                        throw noNumber(field, input.getText());
                    }
                    break;
                case NOTE:
                    break;
                default:
                    values.put(field.key, dialog.getNextString().trim());
            }
        }
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
                    String word = text == null ? (String) field.standard : variable(text);
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
        return new FocusException(field.key + " must be a number, not '" + text + "'.");
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
