package quality.microscope.focus;

import ij.measure.Calibration;
import java.util.Locale;

/** An objective, the light and the sampling. */
public final class Optics {
    /** Pixels of blur diameter from one defocus level to the next. */
    public static final double BLUR_PX_PER_LEVEL = 3.08;

    /** What is wider in focus than this, in levels, looks like defocus. */
    private static final double WIDEST_FOCUS_LEVELS = 0.6;

    /** A wavelength above this is a number of nanometres: no light that forms an image is so long. */
    private static final double LONGEST_WAVELENGTH_UM = 20;

    /** Pixels whose sides differ by this share or more are no squares. */
    private static final double SQUARE = 0.1;

    /** Numerical aperture, below the refractive index. */
    public final double na;
    /** Refractive index of the immersion medium: 1 for air, 1.33 for water, 1.515 for oil. */
    public final double refractiveIndex;
    /** Vacuum wavelength of the light that is imaged (the emission in fluorescence), in µm. */
    public final double wavelengthUm;
    /** Side of a pixel in the plane of the specimen, in µm. */
    public final double pixelSizeUm;

    /**
     * Checks that the optics can exist.
     *
     * @throws FocusException if a value is not positive and finite, or the optics cannot exist
     */
    public Optics(double na, double refractiveIndex, double wavelengthUm, double pixelSizeUm) {
        check("na", na);
        check("refractive_index", refractiveIndex);
        check("wavelength_um", wavelengthUm);
        check("pixel_size_um", pixelSizeUm);
        if (na >= refractiveIndex) {
            throw FocusException.of(
                    "na",
                    "must be below the refractive index: " + Table.general(na, 6)
                            + " is not possible in a medium of refractive index "
                            + Table.general(refractiveIndex, 6) + ".");
        }
        if (wavelengthUm > LONGEST_WAVELENGTH_UM) {
            throw FocusException.of(
                    "wavelength_um",
                    "must be in micrometres: " + Table.general(wavelengthUm, 6)
                            + " µm is no light; " + Table.general(wavelengthUm, 6)
                            + " nm would be " + Table.general(wavelengthUm / 1000, 6) + ".");
        }
        this.na = na;
        this.refractiveIndex = refractiveIndex;
        this.wavelengthUm = wavelengthUm;
        this.pixelSizeUm = pixelSizeUm;
    }

    private static void check(String name, double value) {
        if (!(value > 0) || Double.isInfinite(value)) {
            throw FocusException.of(
                    name, "must be positive and finite, not " + Table.general(value, 6) + ".");
        }
    }

    /**
     * Gives the distance from focus, in µm and without a sign, that blurs a point so wide: √2 times
     * the diameter that holds half of its light. It is 0 up to the blur in focus.
     */
    public double defocusUm(double blurDiameterPx) {
        double sine = na / refractiveIndex;
        // Far from focus half of the light is within the ray from the pupil's radius 1/√2.
        double slope = 2 * Math.sqrt(2) * Math.tan(Math.asin(sine / Math.sqrt(2)));
        return HalfLight.geometric(sine, blurDiameterPx * sampling()) / slope
                * wavelengthUm / na;
    }

    /**
     * Gives the distance from focus, in µm and without a sign, at which defocus adds this blur to
     * that in focus: of diameters, the squares add.
     *
     * @param addedPx blur diameter that defocus adds
     * @param widestPx what the blur in focus exceeds counts as added
     */
    public double defocusOfAddedBlur(double addedPx, double widestPx) {
        return defocusUm(Math.hypot(addedPx, Math.min(focusPx(), widestPx)));
    }

    /** Gives how wide a point in focus is, as for {@link #defocusUm}. */
    private double focusPx() {
        return HalfLight.inFocus(na / refractiveIndex) / sampling();
    }

    /**
     * Gives what is as wide as a point in focus at most, where the pixels are near those of a model
     * with these optics, in its pixels.
     */
    double widestFocusPx() {
        return Math.max(WIDEST_FOCUS_LEVELS * BLUR_PX_PER_LEVEL, focusPx());
    }

    /** Gives the pixel size in units of the resolution, wavelength / NA. */
    double sampling() {
        return pixelSizeUm * na / wavelengthUm;
    }

    /**
     * Gives an image's pixel size: the geometric mean of a pixel's sides.
     *
     * @return in µm; NaN without a unit of length, or where the sides differ by a tenth or more
     */
    public static double pixelSizeUm(Calibration calibration) {
        double[] sides = sidesUm(calibration);
        double width = sides[0];
        double height = sides[1];
        if (!isLength(width) || !isLength(height) || !areAlike(width, height)) {
            return Double.NaN;
        }
        return width == height ? width : Math.sqrt(width * height);
    }

    /** Tells why an image has no pixel size, where {@link #pixelSizeUm} is NaN. */
    static String whyNoPixelSize(Calibration calibration) {
        double[] sides = sidesUm(calibration);
        String unit = calibration.getXUnit().trim();
        String size = Table.general(calibration.pixelWidth, 4) + " by "
                + Table.general(calibration.pixelHeight, 4) + " "
                + (unit.isEmpty() ? "of no unit" : unit);
        if (isLength(sides[0]) && isLength(sides[1])) {
            return "The image's pixels are not square (" + size + "), and the sides of one may "
                    + "differ by less than a tenth: correct them in Image > Properties..., if they "
                    + "are wrong.";
        }
        return (unit.toLowerCase(Locale.ROOT).startsWith("inch")
                ? "The image's pixels are measured in inches, which are those of a printer"
                : "The image is not calibrated in a unit of length (a pixel is " + size + ")")
                + ": set one such as \u00b5m in Image > Properties...";
    }

    private static double[] sidesUm(Calibration calibration) {
        return new double[] {
            calibration.pixelWidth * umOf(calibration.getXUnit()),
            calibration.pixelHeight * umOf(calibration.getYUnit()),
        };
    }

    private static boolean isLength(double side) {
        return side > 0 && !Double.isInfinite(side);
    }

    private static boolean areAlike(double width, double height) {
        return Math.max(width, height) < (1 + SQUARE) * Math.min(width, height);
    }

    /**
     * Gives a unit of length in µm, NaN for any other unit: also for inches, in which programs write
     * how large an image is printed.
     */
    static double umOf(String unit) {
        String name = unit == null ? "" : unit.trim().toLowerCase(Locale.ROOT);
        // The micro sign, which lower case leaves alone, and the Greek letter.
        name = name.replace('\u00b5', 'u').replace('\u03bc', 'u');
        if (name.length() > 5 && name.endsWith("s")) {
            name = name.substring(0, name.length() - 1);
        }
        switch (name) {
            case "um":
            case "micron":
            case "micrometer":
            case "micrometre":
                return 1;
            case "nm":
            case "nanometer":
            case "nanometre":
                return 1e-3;
            case "mm":
            case "millimeter":
            case "millimetre":
                return 1e3;
            case "cm":
            case "centimeter":
            case "centimetre":
                return 1e4;
            case "m":
            case "meter":
            case "metre":
                return 1e6;
            default:
                return Double.NaN;
        }
    }
}
