package quality.microscope.focus;

import ij.IJ;
import ij.ImagePlus;
import ij.Macro;
import ij.WindowManager;
import ij.macro.Interpreter;
import ij.plugin.PlugIn;
import ij.process.ColorProcessor;
import ij.process.ImageProcessor;
import java.awt.GraphicsEnvironment;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CancellationException;

/** What the menu entries have in common: options, planes, progress, and how errors are told. */
abstract class Command implements PlugIn {
    static final String CHANNELS = "channels";
    static final String LUMINANCE = "luminance";

    private final String title;

    Command(String title) {
        this.title = title;
    }

    abstract void execute();

    /**
     * Runs the command. What goes wrong ends a macro with its message; elsewhere it is shown, or
     * thrown where nobody would see it.
     */
    @Override
    public final void run(String argument) {
        IJ.resetEscape();
        try {
            execute();
        } catch (CancellationException stopped) {
            IJ.showStatus(title + ": stopped");
            if (IJ.isMacro()) {
                Macro.abort();
            }
        } catch (FocusException error) {
            fail(error, error.getMessage());
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

    private void fail(FocusException error, String message) {
        if (IJ.getInstance() == null && Interpreter.getInstance() == null) {
            throw error;
        }
        show(message);
    }

    private void show(String message) {
        if (GraphicsEnvironment.isHeadless()) {
            // There, ImageJ ends the macro and keeps the message to itself.
            System.err.println(title + ": " + message);
        }
        IJ.error(title, message);
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
        return image != null && image.getType() == ImagePlus.COLOR_RGB;
    }

    /** Adds the choice of what to measure in a colour image. */
    static void askForColour(Options options, boolean shown) {
        options.choice("colour", "Colour images by", shown, CHANNELS, LUMINANCE);
    }

    /** Adds the optics, which may stay unknown, and the model. */
    static void askForOptics(Options options, ImagePlus image) {
        double pixelSize =
                image == null ? Double.NaN : Optics.pixelSizeUm(image.getCalibration());
        options.note("Optics, for the defocus in \u00b5m and for rescaling; may stay empty:");
        // An aperture of before, without a pixel size, would only be refused.
        boolean remembered = !Double.isNaN(pixelSize);
        options.number("na", "Numerical aperture (NA)", Double.NaN, "", remembered);
        options.number("refractive_index", "Refractive index of the immersion", 1, "", true);
        options.number("wavelength_um", "Wavelength", 0.5, "\u00b5m", true);
        options.number("pixel_size_um", "Pixel size in the specimen", pixelSize, "\u00b5m", false);
        options.checkbox("rescale", "Rescale to the sampling that the model knows", false);
        options.file("model", "Other model than the plugin's");
    }

    static void askForLimit(Options options) {
        options.number(
                "in_focus_limit", "Highest expected level that is in focus",
                FocusSettings.IN_FOCUS_LIMIT, "", false);
    }

    /**
     * Gives what was asked for.
     *
     * @param pixelSizeUm taken where none was given
     */
    static FocusSettings settings(Options options, double pixelSizeUm) {
        FocusSettings settings = FocusSettings.of(FocusModel.load(options.text("model")));
        double na = options.number("na");
        double pixelSize = options.number("pixel_size_um");
        if (Double.isNaN(pixelSize)) {
            pixelSize = pixelSizeUm;
        }
        if (!Double.isNaN(na)) {
            if (Double.isNaN(pixelSize)) {
                throw new FocusException(
                        "With na, the pixel size is needed: set pixel_size_um, or calibrate the "
                                + "image in a unit of length such as \u00b5m (Image > "
                                + "Properties...); inches are those of a printer.");
            }
            settings = settings.optics(
                    na, options.number("refractive_index"), options.number("wavelength_um"),
                    pixelSize);
        }
        return settings.rescale(options.isChecked("rescale"));
    }

    /** Stops the command where Esc was pressed. */
    static void stopOnEscape() {
        if (IJ.escapePressed()) {
            throw new CancellationException("Esc was pressed.");
        }
    }

    /** Lets the progress bar move between two shares of the work, and the Esc key stop it. */
    static FocusSettings watched(FocusSettings settings, double from, double to) {
        // A plane without a patch makes no progress that could be stopped.
        stopOnEscape();
        return settings.progress(share -> {
            IJ.showProgress(from + share * (to - from));
            return !IJ.escapePressed();
        });
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
        ImageProcessor pixels = image.getStack().getProcessor(image.getStackIndex(c, z, t));
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
            IJ.showMessage(title, message);
        }
    }
}
