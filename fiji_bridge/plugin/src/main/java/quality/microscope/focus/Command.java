package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.Macro;
import ij.WindowManager;
import ij.macro.Interpreter;
import ij.measure.Calibration;
import ij.plugin.PlugIn;
import ij.process.ColorProcessor;
import ij.process.ImageProcessor;
import java.awt.GraphicsEnvironment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CancellationException;
import java.util.function.DoublePredicate;

/** What the menu entries have in common: options, planes, progress, and how errors are told. */
abstract class Command implements PlugIn {
    static final String CHANNELS = "channels";
    static final String LUMINANCE = "luminance";
    static final String AUTO = "auto";
    static final String ON = "on";
    static final String OFF = "off";
    private static final String OLDEST = "1.54";
    /** Characters of a line in a dialog. */
    private static final int LINE = 76;

    private final String title;
    private Options options;

    Command(String title) {
        this.title = title;
    }

    abstract void execute();

    /** Gives the command's options, to which fields are added. */
    final Options options(String purpose) {
        options = new Options(title, purpose);
        return options;
    }

    /**
     * Runs the command. What goes wrong ends a macro with its message; elsewhere it is shown, or
     * thrown where nobody would see it.
     */
    @Override
    public final void run(String argument) {
        IJ.resetEscape();
        try {
            checkVersion(IJ.getVersion());
            execute();
        } catch (CancellationException stopped) {
            IJ.showStatus(title + ": " + stopped.getMessage());
            if (IJ.isMacro()) {
                Macro.abort();
            }
        } catch (FocusException error) {
            fail(error, options == null ? error.getMessage() : options.message(error));
        } catch (OutOfMemoryError error) {
            fail(
                    new FocusException("The memory is used up.", error),
                    "The memory that ImageJ has is used up; Edit > Options > Memory & Threads... "
                            + "gives it more.");
        } catch (RuntimeException error) {
            // Without this, ImageJ would show it and let the macro go on.
            if (Interpreter.getInstance() == null) {
                throw error;
            }
            show(error.toString());
        } finally {
            IJ.showProgress(1.0);
        }
    }

    /**
     * Refuses an ImageJ that reads TIFF images wrongly whose ZIP compression has a predictor.
     *
     * @param version as ImageJ has it, {@code 1.54p}, or as Fiji has it, {@code 2.16.0/1.54p}
     */
    static void checkVersion(String version) {
        String own = version.substring(version.lastIndexOf('/') + 1);
        if (own.compareTo(OLDEST) < 0) {
            throw new FocusException(
                    "ImageJ " + own + " reads some compressed TIFF images wrongly: "
                            + "Help > Update ImageJ... brings 1.54 or newer.");
        }
    }

    private void fail(FocusException error, String message) {
        if (IJ.getInstance() == null && Interpreter.getInstance() == null) {
            throw error;
        }
        show(message);
    }

    private void show(String message) {
        IJ.showStatus("");
        if (GraphicsEnvironment.isHeadless()) {
            // There, ImageJ ends the macro and keeps the message to itself.
            System.err.println(title + ": " + message);
        }
        IJ.error(title, IJ.getInstance() == null ? message : wrapped(message));
    }

    /** Breaks a text into lines: ImageJ's dialogs are as wide as the longest one. */
    static String wrapped(String text) {
        StringBuilder lines = new StringBuilder();
        int length = 0;
        for (String word : text.split(" ")) {
            boolean full = length > 0 && length + 1 + word.length() > LINE;
            lines.append(length == 0 ? "" : full ? "\n" : " ").append(word);
            length = (length == 0 || full ? 0 : length + 1) + word.length();
        }
        return lines.toString();
    }

    /** Gives the current image. */
    static ImagePlus image() {
        ImagePlus image = WindowManager.getCurrentImage();
        if (image == null) {
            throw new FocusException("No image is open.");
        }
        return image;
    }

    static boolean isColour(ImagePlus image) {
        return image.getType() == ImagePlus.COLOR_RGB || Plane.isIndexed(image);
    }

    /** Adds the choice of what to measure in a colour image. */
    static void askForColour(Options options, boolean shown) {
        options.choice(
                "colour", "Colour images by",
                "Their channels, red, green and blue, each by itself, or their luminance as one "
                        + "grey image.",
                shown, CHANNELS, LUMINANCE);
    }

    /**
     * Adds the optics, which may stay unknown, and the model.
     *
     * @param calibration of the image; null for that of each file of a folder
     */
    static void askForOptics(Options options, Calibration calibration) {
        options.note("Optics, for the defocus in \u00b5m and the sampling; may stay empty:");
        double pixelSize = calibration == null ? Double.NaN : Optics.pixelSizeUm(calibration);
        Options.Memory size = calibration == null ? Options.Memory.OF_COMMAND
                : Double.isNaN(pixelSize) ? Options.Memory.KEPT : Options.Memory.NONE;
        boolean sizeKnown = calibration == null || !Double.isNaN(pixelSize)
                || !Double.isNaN(Options.remembered("pixel_size_um"));
        options.number(
                "na", "Numerical aperture (NA)",
                "Of the objective, as written on it: 0.75 of 20x/0.75. With it and the pixel size, "
                        + "there is a defocus in \u00b5m.",
                // An aperture of before, without a pixel size, would only be refused.
                Double.NaN, "", sizeKnown ? Options.Memory.KEPT : Options.Memory.KEPT_UNSEEN);
        options.number(
                "refractive_index", "Refractive index of the immersion",
                "1 for air, 1.33 for water, 1.515 for oil.", 1, "", Options.Memory.KEPT);
        options.number(
                "wavelength_um", "Wavelength",
                "Of the light that is imaged: in fluorescence, of the emission.",
                0.5, "\u00b5m", Options.Memory.KEPT);
        options.number(
                "pixel_size_um", "Pixel size in the specimen",
                calibration == null
                        ? "Of all files; left empty, that of each file's calibration."
                        : "From the image's calibration (Image > Properties...), if it has one.",
                pixelSize, "\u00b5m", size);
        options.choice(
                "rescale", "Rescale to the sampling that the model knows",
                "Images that are sampled more finely than by a 20x/0.5 objective with pixels of "
                        + "0.65 \u00b5m are binned: when the aperture and the pixel size are given "
                        + "(<i>auto</i>), always, so that without these it is an error (<i>on</i>, "
                        + "also <i>rescale</i> alone in macros), or never (<i>off</i>).",
                true, AUTO, ON, OFF);
        options.alone(ON);
        options.file(
                "model", "Other model than the plugin's",
                "A model folder, or a file that <i>microscope-quality models export-fiji</i> "
                        + "wrote.");
    }

    static void askForLimit(Options options) {
        options.number(
                "in_focus_limit", "Highest expected level that is in focus",
                "Images up to this level are <i>in focus</i>, others <i>out of focus</i>.",
                FocusSettings.IN_FOCUS_LIMIT, "", Options.Memory.NONE);
    }

    /**
     * Gives what was asked for.
     *
     * @param calibration of the image, for the pixel size where none was given
     * @throws FocusException for an aperture without a pixel size, and for what cannot be
     */
    static FocusSettings settings(Options options, Calibration calibration) {
        FocusSettings settings = FocusSettings.of(FocusModel.load(options.text("model")));
        String rescale = options.choice("rescale");
        settings = rescale.equals(AUTO) ? settings : settings.rescale(rescale.equals(ON));
        double na = options.number("na");
        if (Double.isNaN(na)) {
            return settings;
        }
        double pixelSize = pixelSizeUm(options, calibration);
        if (Double.isNaN(pixelSize)) {
            throw FocusException.of(
                    "pixel_size_um",
                    "is needed with a numerical aperture. " + Optics.whyNoPixelSize(calibration));
        }
        return settings.optics(
                na, options.number("refractive_index"), options.number("wavelength_um"), pixelSize);
    }

    /** Adds the limit of scores, how much of an image is rated, and the rater. */
    static void askForRating(Options options) {
        options.number(
                "score_limit", "Lowest score that is good",
                "Images from this score on are <i>good</i>, others <i>poor</i>, with what costs "
                        + "most of the score and what to do about it.",
                Components.LOWEST_GOOD_SCORE, "", Options.Memory.NONE);
        options.number(
                "patches", "Number of places to rate (empty: all)",
                "Of a very large image, so many places, of six patches each, spread evenly, and "
                        + "the interval of the score says what that leaves open. Empty for the "
                        + "whole image.",
                Double.NaN, "", Options.Memory.NONE);
        options.file(
                "model", "Other rater than the plugin's",
                "A model folder, such as a lab's own, or a file that <i>microscope-quality models "
                        + "export-fiji</i> wrote.");
    }

    /**
     * Gives what was asked for.
     *
     * @throws FocusException for what cannot be
     */
    static RatingSettings ratingSettings(Options options) {
        double places = options.number("patches");
        if (!Double.isNaN(places) && (places < 1 || places != (int) places)) {
            throw FocusException.of(
                    "patches",
                    "must be a whole number from 1, or empty for the whole image, not "
                            + Table.general(places, 6) + ".");
        }
        return RatingSettings.of(RatingModel.load(options.text("model")))
                .scoreLimit(options.number("score_limit"))
                .places(Double.isNaN(places) ? 0 : (int) places);
    }

    /** Gives the pixel size that was asked for, else the image's own; NaN without any. */
    static double pixelSizeUm(Options options, Calibration calibration) {
        double given = options.number("pixel_size_um");
        return Double.isNaN(given) ? Optics.pixelSizeUm(calibration) : given;
    }

    /** Stops the command where Esc was pressed. */
    static void stopOnEscape() {
        if (IJ.escapePressed()) {
            throw new CancellationException("Esc was pressed.");
        }
    }

    /**
     * Gives the end of a command that Esc has stopped.
     *
     * @param rows so many that it has
     * @param at what it was at, as in {@code plane 5 of 8}
     */
    static CancellationException stopped(int rows, String at) {
        return new CancellationException(
                "stopped at " + at
                        + (rows == 0
                                ? "; nothing is measured"
                                : "; " + rows + (rows == 1 ? " row is" : " rows are")
                                        + " in the table"));
    }

    /** Moves the progress bar between two shares of the work, and hears of the Esc key. */
    static DoublePredicate watched(double from, double to) {
        // A plane without a patch makes no progress that could be stopped.
        stopOnEscape();
        return share -> {
            IJ.showProgress(from + share * (to - from));
            return !IJ.escapePressed();
        };
    }

    /** A grey image and its place, counted from 1. */
    static final class Grey {
        final ImageProcessor pixels;
        final int c;
        final int z;
        final int t;
        /** Red, green or blue, counted from 1; 0 where the image is grey. */
        final int colour;

        Grey(ImageProcessor pixels, int c, int z, int t, int colour) {
            this.pixels = pixels;
            this.c = c;
            this.z = z;
            this.t = t;
            this.colour = colour;
        }
    }

    /** Reads a plane; one of a colour image is three, unless they are equal or it is luminance. */
    static List<Grey> read(ImagePlus image, int c, int z, int t, boolean luminance) {
        ImageProcessor pixels = Plane.read(image, image.getStackIndex(c, z, t));
        if (!(pixels instanceof ColorProcessor)) {
            return Collections.singletonList(new Grey(pixels, c, z, t, 0));
        }
        ColorProcessor colours = (ColorProcessor) pixels;
        ImageProcessor grey = Plane.channels(colours);
        if (grey == null && luminance) {
            grey = Plane.luminance(colours);
        }
        if (grey != null) {
            return Collections.singletonList(new Grey(grey, c, z, t, 0));
        }
        List<Grey> channels = new ArrayList<>();
        for (int channel = 1; channel <= 3; channel++) {
            channels.add(new Grey(Plane.channel(colours, channel), c, z, t, channel));
        }
        return channels;
    }

    /** Fills in a plane's place in its image; an axis that the image does not have stays empty. */
    static void place(java.util.Map<String, Object> row, ImagePlus image, Grey plane) {
        row.put("file", image.getTitle());
        if (image.getNSlices() > 1) {
            row.put("z", plane.z);
        }
        if (image.getNChannels() > 1) {
            row.put("c", plane.c);
        }
        if (plane.colour > 0) {
            row.put("c", plane.colour);
        }
        if (image.getNFrames() > 1) {
            row.put("t", plane.t);
        }
    }

    /** Makes sure that nothing else works on an image meanwhile. */
    static void lock(ImagePlus image) {
        if (!image.lockSilently()) {
            throw new FocusException(
                    "The image '" + image.getTitle() + "' is in use by another command.");
        }
    }

    /** Tells a person something; macros and scripts read it in the table. */
    static void tell(String title, String message) {
        if (IJ.getInstance() != null && !IJ.isMacro() && !GraphicsEnvironment.isHeadless()) {
            IJ.showMessage(title, wrapped(message));
        }
    }
}
