package quality.microscope.focus;

import ij.measure.Calibration;
import java.util.Locale;

/** An objective, the light and the sampling. */
public final class Optics {
    /** Pixels of blur diameter from one defocus level to the next. */
    public static final double BLUR_PX_PER_LEVEL = 3.08;

    /** A wavelength above this is a number of nanometres: no light that forms an image is so long. */
    private static final double LONGEST_WAVELENGTH_UM = 20;

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
            throw new FocusException(
                    "na must be below the refractive index: na = " + Table.general(na, 6)
                            + " is not possible in a medium of refractive index "
                            + Table.general(refractiveIndex, 6) + ".");
        }
        if (wavelengthUm > LONGEST_WAVELENGTH_UM) {
            throw new FocusException(
                    "wavelength_um must be in micrometres: " + Table.general(wavelengthUm, 6)
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
            throw new FocusException(
                    name + " must be positive and finite, not " + Table.general(value, 6) + ".");
        }
    }

    /** Gives the distance from focus, in µm and without a sign, that blurs a point so wide. */
    public double defocusUm(double blurDiameterPx) {
        double tangent = Math.tan(Math.asin(na / refractiveIndex));
        return blurDiameterPx * pixelSizeUm / (2 * tangent);
    }

    /** Gives the pixel size in units of the resolution, wavelength / NA. */
    double sampling() {
        return pixelSizeUm * na / wavelengthUm;
    }

    /**
     * Gives an image's pixel size.
     *
     * @return in µm; NaN without a unit of length, or where pixels are no squares
     */
    public static double pixelSizeUm(Calibration calibration) {
        double um = umOf(calibration.getXUnit());
        double width = calibration.pixelWidth * um;
        double height = calibration.pixelHeight * umOf(calibration.getYUnit());
        return width > 0 && Math.abs(height / width - 1) <= 0.01 ? width : Double.NaN;
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
